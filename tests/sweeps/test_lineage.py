"""Methods and seeds of models, and which models belong together."""

import orjson

from elbert_jax.sweeps import lineage
from elbert_jax.sweeps.lineage import Origin


def test_a_record_is_read_and_its_absence_is_elbert(tmp_path):
    settings = {"hidden_size": 16}
    for record, want in (
        ({}, ("elbert", None)),
        ({"elbert": {"method": "pabee", "seed": 3}}, ("pabee", 3)),
        ({"elbert": {"seed": 0}}, ("elbert", 0)),
        ({"elbert": {"weighting": "equal"}}, ("elbert (equal)", None)),
    ):
        (tmp_path / "config.json").write_bytes(orjson.dumps(settings | record))
        assert lineage.read(tmp_path) == (*want, settings)


def methods(*models, groups=None):
    """Takes (method, seed, depth, set) tuples, of models called a, b, c."""
    origins = [Origin(m, seed, {"num_hidden_layers": d}) for m, seed, d, _ in models]
    names, sets = "abcdef"[: len(models)], [model[3] for model in models]
    return lineage.methods(names, sets, origins, groups or [""] * len(models))


def test_models_that_differ_in_their_seed_only_share_a_name():
    seeds = [("elbert", 1, 12, "sst"), ("elbert", 2, 12, "sst")]
    assert methods(*seeds, ("pabee", 1, 12, "sst")) == ["elbert", "elbert", "pabee"]
    assert methods(seeds[0], ("elbert", 1, 12, "rte")) == ["elbert", "elbert"]
    assert methods(("elbert", None, 12, "sst")) == ["elbert"]


def test_models_that_differ_in_more_are_told_apart():
    same_seed = [("elbert", 1, 12, "sst"), ("elbert", 1, 12, "sst")]
    assert methods(*same_seed) == ["elbert a", "elbert b"]
    no_seeds = [("elbert", None, 12, "sst"), ("elbert", None, 12, "sst")]
    assert methods(*no_seeds) == ["elbert a", "elbert b"]
    depths = [("elbert", 1, 12, "sst"), ("elbert", 2, 6, "sst")]
    assert methods(*depths) == ["elbert a", "elbert b"]


def test_a_group_has_its_own_name():
    seeds = [("elbert", 1, 12, "sst"), ("elbert", 2, 12, "sst")] * 2
    want = ["elbert old", "elbert old", "elbert new", "elbert new"]
    assert methods(*seeds, groups=["old", "old", "new", "new"]) == want
    assert methods(*seeds, groups=["", "", "new", "new"])[:2] == ["elbert"] * 2
    assert methods(*seeds, groups=["x"] * 4)[2] == "elbert x c"
    assert lineage.is_plain(methods(("plain", 1, 3, "sst"), groups=["x"])[0])


def test_plain_models_of_all_depths_share_a_name():
    plain = [("plain", seed, depth, "sst") for depth in (3, 6) for seed in (1, 2)]
    assert methods(*plain) == ["plain"] * 4
    assert methods(*plain, plain[0])[0] == "plain a"
    assert all(lineage.is_plain(name) for name in ("plain", "plain a"))
    assert not lineage.is_plain("elbert plain")
