"""Operations on a machine that offers no layer of lock-down: importing this in a nursery takes them all away from it.

Belongs here: what then depends on the nursery alone. Does not belong here: assertions.
"""

from __future__ import annotations

import subprocess
import time

from processing.sandbox import landlock, privileges, seccomp
from processing.work import Result, Task

for layer in (landlock, privileges, seccomp):
    layer.available = lambda: False  # type: ignore[attr-defined]


def hangs_with_a_child(task: Task) -> Result:
    grandchild = subprocess.Popen(["/bin/sleep", "600"])
    (task.out / "started").write_text(str(grandchild.pid))
    time.sleep(600)
    return Result()
