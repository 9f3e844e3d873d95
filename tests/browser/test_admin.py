"""A person finds a failed task in the admin, reads why, and puts it back in its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from django_partisan.control import pause
from django_partisan.models import ManagerProcess, Task
from tests.support.admin_pages import LIST, MANAGERS, PAUSES, SCHEDULES, page_of
from tests.support.helpers import wait_until
from tests.support.rows import make_attempt, make_task
from tests.support.schedules import make_schedule

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TRACEBACK = """Traceback (most recent call last):
  File "shop/partisan_tasks.py", line 12, in run
    raise ValueError("no such <b>customer</b>")
ValueError: no such <b>customer</b>"""


@pytest.mark.django_db(transaction=True)
def test_a_failed_task_is_found_read_and_put_back(browser: Chrome, live_server: Any) -> None:
    make_task("finished", ended_ago=60, processor_class="shop.partisan_tasks.Ship")
    task = make_task("error", ended_ago=5, processor_class="shop.partisan_tasks.SendInvoice")
    make_attempt(task, message="no such <b>customer</b>", traceback=TRACEBACK)

    log_in(browser, live_server)
    assert texts(browser, "#result_list .partisan-badge") == ["Error", "Finished"]
    assert colour_of(browser, ".partisan-error") != colour_of(browser, ".partisan-finished")

    click(browser, "#result_list tbody th a")
    assert texts(browser, "#partisan-attempts .partisan-text") == [TRACEBACK]
    assert not browser.find_elements("css selector", "#partisan-attempts b")

    browser.get(f"{live_server.url}{LIST}?status__exact=error")
    click(browser, "#result_list .action-select")
    click(browser, "select[name=action] option[value=requeue]")
    click(browser, "button[name=index]")
    assert texts(browser, ".messagelist .success") == ["Put 1 task back in its queue."]
    assert Task.objects.get(pk=task.pk).status == "new"

    browser.get(f"{live_server.url}{page_of(task)}")
    assert texts(browser, ".field-status_badge .partisan-badge") == ["New"]
    assert texts(browser, "#partisan-attempts .partisan-text") == [TRACEBACK]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (1280, ["ID", "PROCESSOR", "STATUS", "QUEUE", "CREATED"]),
        (360, ["ID", "PROCESSOR", "STATUS"]),
    ],
)
def test_nothing_has_to_be_scrolled_sideways(
    browser: Chrome, live_server: Any, width: int, columns: list[str]
) -> None:
    log_in(browser, live_server)
    set_width(browser, width)
    long = "a_long_name_without_any_space_" * 3
    task = make_task(
        "error",
        ended_ago=5,
        processor_class=f"shop.partisan_tasks.{long}",
        queue_name=long[:50],
        arguments={"args": [long], "kwargs": {long: long}},
    )
    make_attempt(task, error_type="ValueError", message=f"no customer {long}", traceback=TRACEBACK)
    manager = ManagerProcess.objects.create(node_name=long, pid=1_234_567, queues=[long])
    make_task("in_process", manager_id=manager.pk)

    browser.get(f"{live_server.url}{LIST}")
    headers = [text for text in texts(browser, "#result_list thead th .text") if text]
    assert headers == columns
    (error,) = browser.find_elements("css selector", "#result_list .partisan-failure")
    assert error.text.startswith("ValueError: no customer a_long_name")
    schedule = make_schedule(long, args=[long], timezone="America/Argentina/ComodRivadavia")
    pause(processor=f"shop.partisan_tasks.{long}", reason=long, by=long)
    pages = [LIST, page_of(task), MANAGERS, f"{MANAGERS}{manager.pk}/change/"]
    pages += [SCHEDULES, f"{SCHEDULES}{schedule.pk}/change/", PAUSES]
    for page in pages:
        browser.get(f"{live_server.url}{page}")
        assert browser.execute_script(SCROLLED) == [], page


# What is wider inside than outside, of all that could get a scroll bar.
SCROLLED = """
return [...document.querySelectorAll("html, .results, #content, fieldset, .partisan-text")]
    .filter(element => element.scrollWidth > element.clientWidth)
    .map(element => element.outerHTML.slice(0, 80))
"""


def log_in(browser: Chrome, live_server: Any) -> None:
    User.objects.create_superuser("admin", "admin@example.com", "secret")
    browser.get(f"{live_server.url}{LIST}")
    type_into(browser, "username", "admin")
    type_into(browser, "password", "secret")
    click(browser, "[type=submit]")


def set_width(browser: Chrome, width: int) -> None:
    # A window cannot be as narrow as a telephone.
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def click(browser: Chrome, selector: str) -> None:
    page = browser.find_element("css selector", "html")
    browser.find_element("css selector", selector).click()
    if selector.startswith(("[type=submit]", "button", "#result_list tbody th")):
        wait_until(lambda: is_replaced(browser, page), message=f"no new page after {selector}")


def is_replaced(browser: Chrome, page: Any) -> bool:
    from selenium.common.exceptions import WebDriverException

    try:
        page.is_enabled()
    except WebDriverException:
        state = browser.execute_script("return document.readyState")
        return bool(state == "complete")
    return False


def type_into(browser: Chrome, name: str, text: str) -> None:
    browser.find_element("name", name).send_keys(text)


def texts(browser: Chrome, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def colour_of(browser: Chrome, selector: str) -> str:
    return browser.find_element("css selector", selector).value_of_css_property("background-color")
