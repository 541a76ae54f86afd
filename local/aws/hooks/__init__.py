"""Mends what moto 5.2.5 does otherwise than AWS.

Each hook says which defect it mends; each has a test that tells when moto no longer needs it.
"""

from local.aws.hooks import (
    actions,
    answers,
    change_sets,
    clients,
    cloudformation_template,
    cloudformation_types,
    data_limit,
    distributed_map,
    durability,
    dynamodb,
    executions,
    expressions,
    history,
    item_sizes,
    lambda_invoke,
    language,
    nested,
    server,
    service_integrations,
    waiting,
)

_HOOKS = (
    actions,
    answers,
    change_sets,
    clients,
    cloudformation_template,
    cloudformation_types,
    data_limit,
    distributed_map,
    durability,
    dynamodb,
    executions,
    expressions,
    history,
    item_sizes,
    lambda_invoke,
    language,
    nested,
    server,
    service_integrations,
    waiting,
)


def install() -> None:
    """Installs every hook; calling it again changes nothing. moto stays as it is for code that runs no embedded AWS."""
    for hook in _HOOKS:
        hook.install()
