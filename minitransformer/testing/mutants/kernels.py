"""Mistakes in the first kernels; apart from the others, since these need Numba."""

from minitransformer.ladders import threads
from minitransformer.ladders.loops import matmul_tiled, softmax_online, softmax_rows
from minitransformer.ladders.threads import matmul_shared, softmax_blocks, vector_add
from minitransformer.testing.mutants.base import Mutant

ADD, SOFTMAX, MATMUL = (
    (threads.vector_add_kernel,),
    (threads.softmax_blocks_kernel,),
    (threads.matmul_shared_kernel,),
)

_ROUND = "shared[thread] += shared[thread + half]\n        cuda.syncthreads()\n        "

LOOPS = (
    Mutant(
        "rows_without_maximum",
        softmax_rows,
        {"np.exp(x[t, s] - top)": "np.exp(x[t, s])"},
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
    ),
    Mutant(
        "maximum_starts_at_zero",
        softmax_rows,
        {"        top = -np.inf\n": "        top = 0.0\n"},
        "The search for the largest score starts at 0.",
        "What if all scores are far below 0?",
    ),
    Mutant(
        "total_not_reset",
        softmax_rows,
        {
            "        total = 0.0\n": "",
            "    for t in range": "    total = 0.0\n    for t in range",
        },
        "The sum needs one start.",
        "Every row has a sum of its own.",
    ),
    Mutant(
        "rows_stop_one_early",
        softmax_rows,
        {"for t in range(x.shape[0]):": "for t in range(x.shape[0] - 1):"},
        "The last index is the length less one, so the loop ends there.",
        "range leaves out its end already.",
    ),
    Mutant(
        "closed_row_divided_by_zero",
        softmax_rows,
        {"if top == -np.inf:": "if False:"},
        "A row always has a finite score.",
        "In a masked row there may be none: what is -inf - -inf?",
    ),
    Mutant(
        "online_sum_not_corrected",
        softmax_online,
        {"total *= np.exp(top - x[t, s])": "pass"},
        "When a larger score comes, from then on that one is subtracted.",
        "The summands that are in the sum already had the old one subtracted.",
    ),
    Mutant(
        "online_weights_grow",
        softmax_online,
        {
            "total *= np.exp(top - x[t, s])": (
                "total *= np.exp(x[t, s] - top) if total > 0.0 else 1.0"
            )
        },
        "When the maximum grows, so does the sum.",
        "A larger score is subtracted now: do the old weights grow or shrink?",
    ),
    Mutant(
        "online_correction_inverted",
        softmax_online,
        {"total *= np.exp(top - x[t, s])": "total *= np.exp(x[t, s] - top)"},
        "The sum grows with the maximum.",
        "A larger score is subtracted now: do the old weights grow or shrink?",
    ),
    Mutant(
        "online_new_maximum_not_counted",
        softmax_online,
        {
            "            if top > -np.inf:\n                total": (
                "            elif top > -np.inf:\n                total"
            )
        },
        "A score either corrects the sum or is added to it.",
        "A new maximum does both: its own weight is exp(0).",
    ),
    Mutant(
        "online_closed_row_divided_by_zero",
        softmax_online,
        {
            "            if top > -np.inf:\n                y[t, s]": "            y[t, s]",
        },
        "A row always has a score.",
        "In a row of nothing but -inf the largest score is -inf: what is -inf - -inf?",
    ),
    Mutant(
        "online_maximum_starts_at_zero",
        softmax_online,
        {"top, total = -np.inf, 0.0": "top, total = 0.0, 0.0"},
        "The search for the largest score starts at 0.",
        "What if all scores are far below 0?",
    ),
    Mutant(
        "tiles_overwrite",
        matmul_tiled,
        {"y[i, j] += a[i, k]": "y[i, j] = a[i, k]"},
        "Each product is written to its place.",
        "Each place is a sum of K products, which come tile by tile.",
    ),
    Mutant(
        "tiles_start_the_sum_again",
        matmul_tiled,
        {
            "for k in range(start": "y[i, left : left + tile] = 0\n"
            "                    for k in range(start"
        },
        "Each tile of k gives y.",
        "Each gives a part of the sum over k: what becomes of the tiles before it?",
    ),
    Mutant(
        "ragged_rows_left_out",
        matmul_tiled,
        {"range(0, rows, tile)": "range(0, rows - rows % tile, tile)"},
        "The number of rows is a multiple of the tile.",
        "The last tile of rows may be smaller.",
    ),
    Mutant(
        "ragged_tiles_left_out",
        matmul_tiled,
        {"range(0, inner, tile)": "range(0, inner - tile + 1, tile)"},
        "The length is a multiple of the tile.",
        "What is left at the end needs a smaller tile.",
    ),
    Mutant(
        "tiles_run_over_the_edge",
        matmul_tiled,
        {"min(top + tile, rows)": "top + tile"},
        "All tiles are whole.",
        "The last one may have fewer rows; compiled code writes beyond the end without a word.",
    ),
    Mutant(
        "tile_read_transposed",
        matmul_tiled,
        {"b[k, j]": "b[j, k]"},
        "Rows are multiplied by rows.",
        "Which index do a and b share?",
    ),
)

THREADS = (
    Mutant(
        "thread_beyond_the_end",
        vector_add,
        {"if i < y.size:": "if True:"},
        "There are as many threads as elements.",
        "There are whole blocks of threads: what do those of the last one do that are too many?",
        ADD,
    ),
    Mutant(
        "block_forgotten",
        vector_add,
        {"cuda.grid(1)": "cuda.threadIdx.x"},
        "A thread's number is its place in the array.",
        "It is counted anew in every block.",
        ADD,
    ),
    Mutant(
        "blocks_rounded_down",
        vector_add,
        {"math.ceil(a.size / THREADS)": "a.size // THREADS"},
        "The number of blocks is the length divided by the threads.",
        "And the rest of that division?",
        ADD,
    ),
    Mutant(
        "first_scores_only",
        softmax_blocks,
        {
            "    top = -math.inf\n    for s in range(thread, x.shape[1], THREADS):": (
                "    top = -math.inf\n    for s in range(thread, min(x.shape[1], THREADS)):"
            )
        },
        "There is a thread for every score.",
        "A row may be longer than the block: each thread goes on in steps of the block's size.",
        SOFTMAX,
    ),
    Mutant(
        "each_thread_its_own_sum",
        softmax_blocks,
        {"    total = shared[0]\n": "    total = shared[thread]\n"},
        "After the reduction every thread has the sum.",
        "Only one entry of shared memory holds all of it.",
        SOFTMAX,
    ),
    Mutant(
        "sum_of_one_round",
        softmax_blocks,
        {f"{_ROUND}half //= 2": f"{_ROUND}half = 0"},
        "The first half takes up the second, and that is it.",
        "After one round as many numbers are left as the half is long.",
        SOFTMAX,
    ),
    Mutant(
        "blocks_without_maximum",
        softmax_blocks,
        {"    top = shared[0]\n": "    top = 0.0\n"},
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
        SOFTMAX,
    ),
    Mutant(
        "first_tile_only",
        matmul_shared,
        {"range(0, a.shape[1], TILE)": "range(0, TILE, TILE)"},
        "A block multiplies its tiles.",
        "A row of a reaches across many tiles: their products add up.",
        MATMUL,
    ),
    Mutant(
        "tile_rows_and_columns_swapped",
        matmul_shared,
        {"cuda.threadIdx.x, cuda.threadIdx.y": "cuda.threadIdx.y, cuda.threadIdx.x"},
        "x runs along a row, as in a picture.",
        "grid(2) gives i from x and j from y: the place in the tile has to follow.",
        MATMUL,
    ),
    Mutant(
        "tile_edges_not_zero",
        matmul_shared,
        {
            "if a_inside else 0.0": "if a_inside else 1.0",
            "if b_inside else 0.0": "if b_inside else 1.0",
        },
        "Beyond the edge any number will do, since it is not written.",
        "It is not written, but it is summed: which number changes no sum?",
        MATMUL,
    ),
    Mutant(
        "tile_of_b_transposed",
        matmul_shared,
        {"b_tile[k, column]": "b_tile[column, k]"},
        "Both tiles are read along their rows.",
        "Which index do a and b share?",
        MATMUL,
    ),
)

MUTANTS = (*LOOPS, *THREADS)
