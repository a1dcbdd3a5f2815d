"""Imports go down only: every module may import the rows above its own.

Nobody imports a command, nor the package itself, which only re-exports.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "elbert_jax"
ROWS = """
interruption errors
modules exit_heads albert masked_lm mimetic exits confidence_window rules exit_settings
exit_grid losses metrics flops roofline masking significance
machine machine_cache data.output checkpoint hub weight_table hf operating_point
data.example data.synthetic data.tasks data.rows data.sources
data.preprocessing data.tokenization data.vocabulary data.batching data.training_batches
data.corpus
data.documents data.token_store data.word_vectors data.passages data.plain_text
labelled_flags journal answers tables model_card metric_writer run_directory
optimizer evaluation stage trainer recipes finetuning masked_lm_loss pretraining
engine budget ladder layout token_exit text_chunks classifier baselines throughput speed
scorecard prediction calibration guarantee scheduler plots
explanation.inspection explanation.patterns explanation.trace_text
explanation.trace_chart explanation.trace_page explanation.trace_picture
sweeps.exit_kinds sweeps.lineage sweeps.logit_cache sweeps.confirmation sweeps.trade_off
sweeps.replay sweeps.sweeping sweeps.trade_off_plots sweeps.criterion_plots
sweeps.exit_plots sweeps.sweep_report
benchmarking.workload benchmarking.drawn benchmarking.onnx_export benchmarking.peers
benchmarking.training_speed benchmarking.attention_speed benchmarking.kernel_times
benchmarking.suite benchmarking.bench benchmarking.benchmark_record benchmarking.curves
benchmarking.parts benchmarking.speed_plots
""".split()
COMMANDS = """
pretrain train evaluate predict sweep calibrate explain convert preprocess serve
benchmark
""".split()
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def imports(path: pathlib.Path) -> set[str]:
    """Returns the modules of this package that a file imports, at any indent.

    The package itself is "", which has no row.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: write {node.module} in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {
        next((m for m in MODULES if f"{name}.".startswith(f"{ROOT.name}.{m}.")), "")
        for name in names
        if name.split(".")[0] == ROOT.name
    }


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module):
    assert module in ROWS + COMMANDS, f"{module} has no row: give it one in ROWS"
    above = ROWS if module in COMMANDS else ROWS[: ROWS.index(module)]
    assert imports(MODULES[module]) <= set(above)


def test_the_package_exports_no_command():
    assert imports(ROOT / "__init__.py") <= set(ROWS)


def test_training_starts_and_a_model_of_ours_opens_without_torch(answering_model):
    """Its import takes as long as all others together."""
    pytest.importorskip("torch", reason="there is no torch to leave out")
    code = (
        "import sys; from elbert_jax import Classifier, train;"
        f"Classifier.from_pretrained({str(answering_model)!r});"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
