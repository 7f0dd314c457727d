"""Tests of every room. What hypothesis would load of other packages (trio, through selenium) is not used here."""

import os

os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
