"""The Lambda functions: one for each task of the state machines, each with a role of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.storage import Storage
from massive_upload.domain.file_keys import RUNS_PREFIX as RUNS
from massive_upload.domain.file_keys import STAGED_PREFIX as STAGED
from massive_upload.settings import OrgSettings, Settings, WatchdogSettings

RUNTIME = lambda_.Runtime.PYTHON_3_14
LOG_RETENTION = logs.RetentionDays.ONE_MONTH

FINISH_RUN = "FinishRun"
WATCHDOG = "Watchdog"


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """One function, as data.

    Attributes:
        name: the state that calls it.
        module: the module of ``lambdas/handlers`` that holds its ``handler``.
        settings: what its environment is derived from; a function with `OrgSettings` may read the secret.
        table: actions on the table; the verbs that a transaction uses are granted one by one.
        reads: prefixes of the bucket whose objects it gets.
        writes: prefixes of the bucket to which it puts objects.
        describes_loads: whether it looks up executions of the load machine.
    """

    name: str
    module: str
    settings: type[Settings]
    timeout_seconds: int
    memory_mb: int
    table: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    describes_loads: bool = False

    @property
    def reads_secret(self) -> bool:
        """Whether the function talks to the org."""
        return issubclass(self.settings, OrgSettings)


FUNCTIONS = (
    FunctionSpec(
        name="PlanRun",
        module="plan_run",
        settings=OrgSettings,
        timeout_seconds=900,
        memory_mb=2048,
        table=("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "ConditionCheckItem"),
        reads=(RUNS, STAGED),
        writes=(RUNS, STAGED),
        describes_loads=True,
    ),
    FunctionSpec(
        name="FetchPage",
        module="fetch_page",
        settings=OrgSettings,
        timeout_seconds=900,
        memory_mb=2048,
        table=("BatchGetItem", "GetItem", "PutItem", "UpdateItem", "Query"),
        reads=(RUNS,),
        writes=(RUNS, STAGED),
    ),
    FunctionSpec(
        name="UploadBatch",
        module="upload_batch",
        settings=OrgSettings,
        timeout_seconds=900,
        memory_mb=2048,
        table=("BatchGetItem", "GetItem", "PutItem", "UpdateItem"),
        reads=(RUNS, STAGED),
        writes=(RUNS, STAGED),
    ),
    FunctionSpec(
        name="CheckJob",
        module="check_job",
        settings=OrgSettings,
        timeout_seconds=600,
        memory_mb=256,
        table=("BatchGetItem", "GetItem", "UpdateItem"),
        reads=(RUNS,),
    ),
    FunctionSpec(
        name="SettleBatch",
        module="settle_batch",
        settings=OrgSettings,
        timeout_seconds=900,
        memory_mb=2048,
        table=("BatchGetItem", "GetItem", "UpdateItem", "Query"),
        reads=(RUNS, STAGED),
        writes=(RUNS, STAGED),
    ),
    FunctionSpec(
        name="CheckPatience",
        module="check_patience",
        settings=Settings,
        timeout_seconds=180,
        memory_mb=256,
        table=("GetItem", "UpdateItem"),
        reads=(RUNS,),
    ),
    FunctionSpec(
        name="PlanSweep",
        module="plan_sweep",
        settings=Settings,
        timeout_seconds=300,
        memory_mb=512,
        table=("GetItem", "UpdateItem", "Query"),
        reads=(RUNS,),
        writes=(RUNS,),
    ),
    FunctionSpec(
        name=FINISH_RUN,
        module="finish_run",
        settings=OrgSettings,
        timeout_seconds=900,
        memory_mb=2048,
        table=("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "ConditionCheckItem"),
        reads=(RUNS, STAGED),
        writes=(RUNS, STAGED),
    ),
    FunctionSpec(
        name=WATCHDOG,
        module="watchdog",
        settings=WatchdogSettings,
        timeout_seconds=300,
        memory_mb=256,
        table=("GetItem", "Query"),
        describes_loads=True,
    ),
)


class Functions(Construct):
    """Every function of `FUNCTIONS`; ``functions["FetchPage"]`` is one of them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: Storage,
        code: lambda_.Code,
        dependencies: lambda_.Code,
        load_machine_name: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._storage = storage
        self._code = code
        self._load_machine_name = load_machine_name
        self._layer = lambda_.LayerVersion(
            self,
            "Dependencies",
            code=dependencies,
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            description="Third-party packages, as pinned in lambdas/requirements.lock",
        )
        self._functions: dict[str, lambda_.Function] = {}
        self.log_groups: list[logs.LogGroup] = []
        for spec in FUNCTIONS:
            self._functions[spec.name] = self._build_function(spec)
        self._let_watchdog_finish_runs()

    def __getitem__(self, name: str) -> lambda_.Function:
        return self._functions[name]

    def _build_function(self, spec: FunctionSpec) -> lambda_.Function:
        log_group = logs.LogGroup(
            self, f"{spec.name}Logs", retention=LOG_RETENTION, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        self.log_groups.append(log_group)
        return lambda_.Function(
            self,
            spec.name,
            description=f"Massive upload: {spec.name}",
            code=self._code,
            handler=f"handlers.{spec.module}.handler",
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            layers=[self._layer],
            role=self._build_role(spec, log_group),
            log_group=log_group,
            timeout=cdk.Duration.seconds(spec.timeout_seconds),
            memory_size=spec.memory_mb,
            environment=self._environment(spec),
        )

    def _environment(self, spec: FunctionSpec) -> dict[str, str]:
        values: dict[str, Any] = {
            "TABLE_NAME": self._storage.table.table_name,
            "BUCKET_NAME": self._storage.bucket.bucket_name,
            "SECRET_ID": self._storage.secret.secret_arn,
        }
        if FINISH_RUN in self._functions:
            values["FINISH_RUN_FUNCTION"] = self._functions[FINISH_RUN].function_name
        return {name: values[name] for name in spec.settings.variables()} | {
            "POWERTOOLS_SERVICE_NAME": cdk.Stack.of(self).stack_name,
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    def _build_role(self, spec: FunctionSpec, log_group: logs.LogGroup) -> iam.Role:
        role = iam.Role(
            self,
            f"{spec.name}Role",
            description=f"What {spec.name} of the massive upload may do",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )

        def allow(actions: list[str], *resources: str) -> None:
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))

        bucket = self._storage.bucket
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], log_group.log_group_arn)
        allow([f"dynamodb:{verb}" for verb in spec.table], self._storage.table.table_arn)
        if spec.reads:
            allow(["s3:GetObject"], *(bucket.arn_for_objects(f"{prefix}*") for prefix in spec.reads))
        if spec.writes:
            allow(["s3:PutObject"], *(bucket.arn_for_objects(f"{prefix}*") for prefix in spec.writes))
        if spec.reads_secret:
            allow(["secretsmanager:GetSecretValue"], self._storage.secret.secret_arn)
        if spec.describes_loads:
            allow(["states:DescribeExecution"], self._load_executions_arn())
        return role

    def _load_executions_arn(self) -> str:
        # By name: the machine itself depends on these functions, so it cannot be referred to.
        arn: str = cdk.Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self._load_machine_name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return arn

    def _let_watchdog_finish_runs(self) -> None:
        self[WATCHDOG].add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self[FINISH_RUN].function_arn])
        )
