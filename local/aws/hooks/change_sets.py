"""Change sets, through which `cdk deploy` and `cdk diff` work.

Defects: DeleteChangeSet fails inside for a change set that does not exist, where AWS succeeds as long as the stack
exists (the CDK deletes its own before each deployment); a stack made or changed by a change set has no outputs.
"""

from moto.cloudformation.models import ChangeSet, CloudFormationBackend

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped


def install() -> None:
    """Lets a change set be deleted twice, and gives a stack the outputs of its new template."""
    replace(CloudFormationBackend, "delete_change_set", _build_delete_change_set)
    replace(ChangeSet, "apply", _build_apply)


def _build_delete_change_set(original: Untyped) -> Untyped:
    def delete_change_set(self: Untyped, change_set_name: str) -> None:
        known = {name for arn, each in self.change_sets.items() for name in (arn, each.change_set_name)}
        if change_set_name in known:
            original(self, change_set_name)

    return delete_change_set


def _build_apply(original: Untyped) -> Untyped:
    def apply(self: Untyped) -> None:
        original(self)
        self.stack.template = self.template
        self.stack._parse_template()
        self.stack.output_map = self.stack._create_output_map()

    return apply
