"""The index of flows and what a status may be, made while producers and managers are at work."""

from django.db import migrations, models

from django_partisan.migrations._beside_work import (
    AddConstraintBesideWork,
    AddIndexBesideWork,
    ValidateBesideWork,
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_partisan", "0016_flows")]

    operations = [
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("flow_id__isnull", False)),
                fields=["flow_id", "status"],
                name="partisan_task_flow",
            ),
        ),
        migrations.RemoveConstraint(model_name="task", name="partisan_task_status_known"),
        AddConstraintBesideWork(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        ["new", "waiting", "in_process", "error", "finished", "cancelled"],
                    )
                ),
                name="partisan_task_status_known",
            ),
        ),
        ValidateBesideWork(model_name="task", name="partisan_task_status_known"),
        AddConstraintBesideWork(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(("blocked_by__gte", 0)), name="partisan_task_blocked_by"
            ),
        ),
        ValidateBesideWork(model_name="task", name="partisan_task_blocked_by"),
    ]
