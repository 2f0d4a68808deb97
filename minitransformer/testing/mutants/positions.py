"""Mistakes in tables of positions: sinusoidal and rotary."""

from minitransformer.nn.positions import _angles, rotary_tables, sinusoidal_positions
from minitransformer.ops import padding_mask
from minitransformer.testing.mutants.base import Mutant

_FREQUENCIES = "frequencies = base ** (-np.arange(0, width, 2) / width)"
_POSITIONS = "np.arange(length)[:, None] * frequencies"
_TABLE = "np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width)"
_TABLES = "return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)"
_PADDING = "np.arange(S) < lengths[:, None, None, None]"


def _of_both(
    name: str, edits: dict[str, str], misconception: str, hint: str
) -> tuple[Mutant, Mutant]:
    """The same mistake in the angles of sinusoidal and of rotary positions."""
    return (
        Mutant(f"sinusoidal_{name}", sinusoidal_positions, edits, misconception, hint, (_angles,)),
        Mutant(f"rotary_{name}", rotary_tables, edits, misconception, hint, (_angles,)),
    )


MUTANTS = (
    *_of_both(
        "exponent_without_two",
        {_FREQUENCIES: "frequencies = base ** (-np.arange(width // 2) / width)"},
        "The exponent of pair i is i / C.",
        "2i / C: the last pair is to turn about 10,000 times as slowly as the first.",
    ),
    *_of_both(
        "exponent_doubled",
        {_FREQUENCIES: "frequencies = base ** (-2.0 * np.arange(0, width, 2) / width)"},
        "The exponent is 2 times the feature's index over C.",
        "2i is the index of the feature already, where i counts pairs.",
    ),
    *_of_both(
        "exponent_ends_at_one",
        {_FREQUENCIES: "frequencies = base ** (-np.arange(0, width, 2) / max(width - 2, 1))"},
        "The exponents go from 0 to 1.",
        "To 1 - 2/C: the denominator is C.",
    ),
    *_of_both(
        "frequencies_grow",
        {_FREQUENCIES: "frequencies = base ** (np.arange(0, width, 2) / width)"},
        "Positions are multiplied by the base's powers.",
        "Divided: later pairs turn more slowly.",
    ),
    *_of_both(
        "frequencies_linear",
        {_FREQUENCIES: "frequencies = 1.0 / (1.0 + base * np.arange(0, width, 2) / width)"},
        "The wavelengths grow in equal steps.",
        "By equal factors: powers of the base.",
    ),
    *_of_both(
        "positions_from_one",
        {_POSITIONS: "(np.arange(length) + 1)[:, None] * frequencies"},
        "The first position is 1.",
        "Positions count from 0.",
    ),
    *_of_both(
        "positions_as_shares",
        {_POSITIONS: "(np.arange(length) / length)[:, None] * frequencies"},
        "Positions are shares of the length.",
        "Then the same distance would look different in a longer text: they count.",
    ),
    *_of_both(
        "whole_turns",
        {_POSITIONS: "2.0 * np.pi * np.arange(length)[:, None] * frequencies"},
        "A position turns by 2 pi times its frequency.",
        "By the frequency itself: the first wavelength is 2 pi.",
    ),
    Mutant(
        "sinusoidal_base_of_a_thousand",
        sinusoidal_positions,
        {"10_000.0": "1_000.0"},
        "The base is 1,000.",
        "10,000.",
    ),
    Mutant(
        "sinusoidal_halves",
        sinusoidal_positions,
        {_TABLE: "np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)"},
        "Sines fill the first half of the features, cosines the second.",
        "They alternate: sines in even features, cosines in odd ones.",
    ),
    Mutant(
        "sinusoidal_cosine_first",
        sinusoidal_positions,
        {
            _TABLE: _TABLE.replace(
                "np.sin(angles), np.cos(angles)", "np.cos(angles), np.sin(angles)"
            )
        },
        "Cosines stand in even features.",
        "Sines do: at position 0 the first feature is 0.",
    ),
    Mutant(
        "sinusoidal_sines_only",
        sinusoidal_positions,
        {_TABLE: _TABLE.replace("np.cos", "np.sin")},
        "Every feature is a sine.",
        "Odd features are cosines: only a pair tells the angle.",
    ),
    Mutant(
        "sinusoidal_each_feature_its_own_frequency",
        sinusoidal_positions,
        {
            _TABLE: "np.where(np.arange(width) % 2, "
            "np.cos(np.arange(length)[:, None] * 10_000.0 ** (-np.arange(width) / width)), "
            "np.sin(np.arange(length)[:, None] * 10_000.0 ** (-np.arange(width) / width)))"
        },
        "The exponent is the feature's index over C.",
        "A sine and its cosine share a frequency: the exponent is the same for both of a pair.",
    ),
    Mutant(
        "sinusoidal_transposed",
        sinusoidal_positions,
        {_TABLE: f"{_TABLE}.T"},
        "Features are the rows.",
        "A row for each position: (T, C).",
    ),
    Mutant(
        "rotary_tables_swapped",
        rotary_tables,
        {_TABLES: "return np.sin(angles).astype(dtype), np.cos(angles).astype(dtype)"},
        "First the sines, then the cosines.",
        "cos, sin: at position 0 the first table is 1.",
    ),
    Mutant(
        "rotary_tables_of_all_features",
        rotary_tables,
        {
            _TABLES: "angles = np.concatenate([angles, angles], axis=-1)\n"
            "    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)"
        },
        "There is an angle for each feature.",
        "For each pair: the tables are (T, D/2).",
    ),
    Mutant(
        "rotary_tables_of_neighbours",
        rotary_tables,
        {
            _TABLES: "angles = np.repeat(angles, 2, axis=-1)\n"
            "    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)"
        },
        "There is an angle for each feature, twice in a row.",
        "For each pair: the tables are (T, D/2).",
    ),
    Mutant(
        "rotary_tables_transposed",
        rotary_tables,
        {_TABLES: "return np.cos(angles).astype(dtype).T, np.sin(angles).astype(dtype).T"},
        "Pairs are the rows.",
        "A row for each position: (T, D/2).",
    ),
    Mutant(
        "rotary_base_built_in",
        rotary_tables,
        {"_angles(length, head_width, base)": "_angles(length, head_width, 10_000.0)"},
        "The base is always 10,000.",
        "It is an argument: models for long texts have larger ones.",
    ),
    Mutant(
        "padding_mask_inverted",
        padding_mask,
        {_PADDING: "np.arange(S) >= lengths[:, None, None, None]"},
        "The mask marks the padding.",
        "True means: may attend.",
    ),
    Mutant(
        "padding_mask_one_too_many",
        padding_mask,
        {_PADDING: _PADDING.replace("<", "<=")},
        "The last token is at position `length`.",
        "Positions count from 0.",
    ),
    Mutant(
        "padding_mask_one_too_few",
        padding_mask,
        {_PADDING: "np.arange(S) + 1 < lengths[:, None, None, None]"},
        "Positions count from 1.",
        "From 0: a sequence of one token has position 0.",
    ),
    Mutant(
        "padding_mask_on_the_left",
        padding_mask,
        {_PADDING: "np.arange(S) >= S - lengths[:, None, None, None].astype(np.int64)"},
        "Padding stands in front.",
        "Behind the end.",
    ),
    Mutant(
        "padding_mask_hides_queries",
        padding_mask,
        {_PADDING: "np.arange(S)[:, None] < lengths[:, None, None, None]"},
        "Padded rows are hidden.",
        "Keys are the last axis: (B, 1, 1, S).",
    ),
    Mutant(
        "padding_mask_without_axes",
        padding_mask,
        {_PADDING: "np.arange(S) < lengths[:, None]"},
        "The mask is (B, S).",
        "It must broadcast to (B, H, T, S): which axes stand between batch and keys?",
    ),
    Mutant(
        "padding_mask_one_axis_short",
        padding_mask,
        {_PADDING: "np.arange(S) < lengths[:, None, None]"},
        "The mask is (B, 1, S).",
        "It must broadcast to (B, H, T, S): the heads need an axis too.",
    ),
    Mutant(
        "padding_mask_for_scores",
        padding_mask,
        {_PADDING: f"np.where({_PADDING}, 0.0, -np.inf)"},
        "A mask holds 0 and minus infinity, to be added to the scores.",
        "Here masks are boolean: True = may attend.",
    ),
)
