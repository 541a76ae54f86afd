"""What outlives a deployment: the table, the bucket and the secret."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.domain.file_keys import RUNS_PREFIX, STAGED_PREFIX

_KEPT = cdk.Duration.days(STATE_KEPT_DAYS)
"""As long as the state in the table: a run that was paused needs its staged files when it goes on."""


class Storage(Construct):
    """The progress table, the bucket of staged and kept files, and the secret with the org's login."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.table = self._build_table()
        self.bucket = self._build_bucket()
        self.secret = self._build_secret()

    def _build_table(self) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _build_bucket(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(id="staged", prefix=STAGED_PREFIX, expiration=_KEPT),
                s3.LifecycleRule(id="runs", prefix=RUNS_PREFIX, expiration=_KEPT),
                s3.LifecycleRule(id="unfinished-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(1)),
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _build_secret(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "Secret",
            description=(
                "The org's login, put by the operator: "
                '{"login_url": ..., "client_id": ..., and "client_secret": ... or "private_key" and "username": ...}'
            ),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        # The secret is created without a value. A generated one would look like a login, and a placeholder in the
        # template would overwrite the operator's value whenever the placeholder changes
        # (AWS::SecretsManager::Secret, SecretString: "When you make a change to this property, a new secret version
        # is created").
        resource: secretsmanager.CfnSecret = secret.node.default_child
        resource.add_property_deletion_override("GenerateSecretString")
        return secret
