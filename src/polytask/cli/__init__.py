"""The command line."""

import os

# Between two operators torch's threads wait by spinning, a thousand times as long as their work takes:
# where another program wants the same cores, a step then takes 20 to 60 times as long. Read by
# libgomp when torch is loaded, so it has to stand before the imports.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "20000"

from polytask.cli.commands import main

__all__ = ["main"]
