"""What a command says of its user's mistakes, and with which status it ends."""

import pathlib
import sys
import warnings

import absl.app
import pytest
from absl import flags
from ml_collections import config_flags

from configs import default
from elbert_jax.cli import app
from elbert_jax.errors import UserError
from elbert_jax.training import config as configs

# How ml_collections reads a file under Python 3.11.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module")
CONFIG_OF_TRAIN = default.get_config()
CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "quickstart.py"


@pytest.fixture
def ended(monkeypatch, capsys, listening):
    """Starts a command with flags; returns its status and its standard error."""

    def start(main, *words: str) -> tuple[object, str]:
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=values)
        flags.DEFINE_integer("verbosity", 0, "As absl's.", flag_values=values)
        monkeypatch.setattr(flags, "FLAGS", values)
        monkeypatch.setattr(warnings, "showwarning", None)  # which a command sets
        monkeypatch.setattr(sys, "argv", ["it", f"--config={CONFIG}", *words])
        monkeypatch.setattr(
            absl.app, "run", lambda main, flags_parser: main(flags_parser(sys.argv))
        )
        with pytest.raises(SystemExit) as ending:
            app.run(main)
        return ending.value.code, capsys.readouterr().err

    return start


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--config.batch=1", "the configuration has no key 'batch'"),
        ("--config.modle.hidden_size=1", "no key 'modle' Did you mean \"model\""),
        ("--config.model.bias=1", "the configuration has no key 'bias'"),
        ("--config.batch_size=x", "--config.batch_size=x: invalid literal for int()"),
        ("--speed=3", "Unknown command line flag 'speed'"),
        ("speed", "unexpected argument 'speed': flags are written --name=value"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(ended, word, message):
    status, told = ended(lambda argv: pytest.fail("it started"), word)
    assert status == 2
    assert told.startswith("error: ") and told.count("\n") == 1
    assert message in told


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        (UserError("mend\nthis"), 2, "error: mend this\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_a_fault_has_its_status(ended, fault, status, told):
    def main(argv):
        raise fault

    assert ended(main) == (status, told)


def test_the_configuration_of_another_command(ended):
    def main(argv):
        configs.pretraining(CONFIG_OF_TRAIN)

    status, told = ended(main)
    assert status == 2 and told.startswith(
        "error: the configuration has no key 'files'"
    )
