"""A person finds a failed task in the admin, reads why, and puts it back in its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from django_partisan.models import Task
from tests.support.helpers import wait_until
from tests.support.rows import make_attempt, make_task

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TRACEBACK = """Traceback (most recent call last):
  File "shop/partisan_tasks.py", line 12, in run
    raise ValueError("no such <b>customer</b>")
ValueError: no such <b>customer</b>"""


@pytest.mark.django_db(transaction=True)
def test_a_failed_task_is_found_read_and_put_back(browser: Chrome, live_server: Any) -> None:
    User.objects.create_superuser("admin", "admin@example.com", "secret")
    make_task("finished", ended_ago=60, processor_class="shop.partisan_tasks.Ship")
    task = make_task("error", ended_ago=5, processor_class="shop.partisan_tasks.SendInvoice")
    make_attempt(task, message="no such <b>customer</b>", traceback=TRACEBACK)

    browser.get(f"{live_server.url}/admin/django_partisan/task/")
    type_into(browser, "username", "admin")
    type_into(browser, "password", "secret")
    click(browser, "[type=submit]")
    assert texts(browser, "#result_list .partisan-badge") == ["Error", "Finished"]
    assert colour_of(browser, ".partisan-error") != colour_of(browser, ".partisan-finished")

    click(browser, "#result_list tbody th a")
    assert texts(browser, "#partisan-attempts .partisan-text") == [TRACEBACK]
    assert not browser.find_elements("css selector", "#partisan-attempts b")

    browser.get(f"{live_server.url}/admin/django_partisan/task/?status__exact=error")
    click(browser, "#result_list .action-select")
    click(browser, "select[name=action] option[value=requeue]")
    click(browser, "button[name=index]")
    assert texts(browser, ".messagelist .success") == ["Put 1 task back in its queue."]
    assert Task.objects.get(pk=task.pk).status == "new"

    browser.get(f"{live_server.url}/admin/django_partisan/task/{task.pk}/change/")
    assert texts(browser, ".field-status_badge .partisan-badge") == ["New"]
    assert texts(browser, "#partisan-attempts .partisan-text") == [TRACEBACK]


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
