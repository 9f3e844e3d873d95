"""The schedules of the code and of people, and which task has come of which of their ticks."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_partisan", "0008_repeats"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredSchedule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "key",
                    models.CharField(
                        help_text="What identifies the schedule.",
                        max_length=255,
                        unique=True,
                        verbose_name="name",
                    ),
                ),
                ("processor_class", models.CharField(max_length=255, verbose_name="processor")),
                (
                    "origin",
                    models.CharField(
                        choices=[("code", "Code"), ("people", "People")],
                        db_default="people",
                        default="people",
                        max_length=10,
                    ),
                ),
                (
                    "cron",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Minute, hour, day of the month, month, day of the week; seconds may come last.",
                        max_length=100,
                    ),
                ),
                (
                    "every_seconds",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="The interval in seconds, where there is no line.",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The zone of the line, as Europe/Paris; empty: TIME_ZONE of the project.",
                        max_length=255,
                    ),
                ),
                (
                    "args",
                    models.JSONField(
                        blank=True, db_default=[], default=list, verbose_name="arguments"
                    ),
                ),
                (
                    "kwargs",
                    models.JSONField(
                        blank=True, db_default={}, default=dict, verbose_name="keyword arguments"
                    ),
                ),
                (
                    "queue_name",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Empty: the processor's.",
                        max_length=50,
                    ),
                ),
                (
                    "priority",
                    models.IntegerField(blank=True, help_text="Empty: the processor's.", null=True),
                ),
                (
                    "catch_up",
                    models.CharField(
                        choices=[
                            ("none", "None of them"),
                            ("latest", "The latest one"),
                            ("all", "All of them"),
                        ],
                        db_default="latest",
                        default="latest",
                        help_text="Which of the ticks are fired that were missed while no manager ran.",
                        max_length=10,
                    ),
                ),
                (
                    "max_catch_up",
                    models.IntegerField(
                        db_default=100, default=100, help_text="Of all of them, the latest so many."
                    ),
                ),
                (
                    "scheduled_for_kwarg",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The keyword argument that gets the moment of the tick.",
                        max_length=255,
                    ),
                ),
                (
                    "is_manual",
                    models.BooleanField(
                        db_default=False, default=False, help_text="Only started by hand."
                    ),
                ),
                (
                    "next_run_at",
                    models.DateTimeField(
                        blank=True, help_text="The next tick.", null=True, verbose_name="next run"
                    ),
                ),
                (
                    "active_from",
                    models.DateTimeField(
                        blank=True,
                        help_text="Where planning begins: no tick before it ever fires.",
                        null=True,
                    ),
                ),
                (
                    "last_run_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last run"),
                ),
                ("last_task_id", models.BigIntegerField(blank=True, null=True)),
                (
                    "missed",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Ticks for which no task was made, as they came too late.",
                    ),
                ),
                (
                    "skipped",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Ticks whose task waited already."
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("paused_until", models.DateTimeField(blank=True, null=True)),
                (
                    "paused_by",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                (
                    "pause_reason",
                    models.CharField(blank=True, db_default="", default="", max_length=255),
                ),
                (
                    "problem",
                    models.TextField(
                        blank=True, db_default="", default="", help_text="Why it does not fire."
                    ),
                ),
                (
                    "removed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the code was found to have it no longer.",
                        null=True,
                    ),
                ),
                (
                    "definition_hash",
                    models.CharField(blank=True, db_default="", default="", max_length=64),
                ),
                ("former_hashes", models.JSONField(blank=True, db_default=[], default=list)),
                (
                    "written_by",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Who wrote what it says.",
                        max_length=255,
                    ),
                ),
                ("planned_cron", models.CharField(blank=True, db_default="", max_length=100)),
                ("planned_every_seconds", models.BigIntegerField(db_default=0, default=0)),
                ("planned_timezone", models.CharField(blank=True, db_default="", max_length=255)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "verbose_name": "schedule",
                "permissions": (("run_schedule", "Can run a schedule now"),),
            },
        ),
        migrations.AddField(
            model_name="managerprocess",
            name="schedules",
            field=models.JSONField(
                help_text="The schedules of the code that it runs: their definitions by key.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="schedule_id",
            field=models.BigIntegerField(
                blank=True, help_text="The schedule that has made the task.", null=True
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="scheduled_for",
            field=models.DateTimeField(
                blank=True,
                help_text="The tick of that schedule; empty when run by hand.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("schedule_id__isnull", False)),
                fields=["schedule_id", "id"],
                name="partisan_task_schedule",
            ),
        ),
        migrations.AddIndex(
            model_name="storedschedule",
            index=models.Index(
                condition=models.Q(("next_run_at__isnull", False)),
                fields=["next_run_at", "id"],
                name="partisan_schedule_due",
            ),
        ),
        migrations.AddIndex(
            model_name="storedschedule",
            index=models.Index(
                condition=models.Q(
                    models.Q(("cron", models.F("planned_cron")), _negated=True),
                    models.Q(("every_seconds", models.F("planned_every_seconds")), _negated=True),
                    models.Q(("timezone", models.F("planned_timezone")), _negated=True),
                    models.Q(
                        ("is_manual__lt", True),
                        ("next_run_at__isnull", True),
                        ("paused_at__isnull", True),
                        ("problem", ""),
                        ("removed_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                fields=["id"],
                name="partisan_schedule_unplanned",
            ),
        ),
    ]
