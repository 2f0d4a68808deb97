"""Kernels: loops that Numba compiles, threads for a GPU."""

from minitransformer.exercises.exercise import Exercise
from minitransformer.ladders import loops, threads

SIMULATOR = (
    "Without a GPU it runs in Numba's simulator: set NUMBA_ENABLE_CUDASIM=1 before Python starts "
    "(the grader does)."
)

EXERCISES = (
    Exercise(
        id="softmax_rows",
        unit="numba",
        title="Numba: softmax by loops",
        functions=(loops.softmax_rows,),
        goal="Write softmax as a program of plain loops over rows and scores. Numba compiles it, "
        "so that loops cost next to nothing. A row of nothing but -inf becomes 0.",
        formula="""
            three passes over each row: the largest score m; exp(x - m) and its sum; the division
        """,
        example="""
            >>> softmax_rows(np.log(np.array([[1.0, 3.0], [1.0, 1.0]])))
            array([[0.25, 0.75],
                   [0.5 , 0.5 ]])
        """,
        hints=(
            "Forget whole-array expressions: x[t, s] is one number, and range loops walk through "
            "rows and columns.",
            "Begin each row with a maximum of -np.inf and a sum of 0.0 (a float: Numba wants one "
            "type for each variable).",
            "Store the weights in y while you add them up, and divide them in the third loop. "
            "Where the maximum is still -inf, go on to the next row: y began as zeros.",
        ),
        kind="numba",
    ),
    Exercise(
        id="softmax_online",
        unit="numba",
        title="Numba: softmax online",
        functions=(loops.softmax_online,),
        goal="Find the largest score and the sum of the weights in one and the same pass: what "
        "flash attention lives on.",
        formula="""
            sum for the largest score m so far:  exp(x[0] - m) + exp(x[1] - m) + ...
            a larger score M comes:  every summand shrinks by the factor exp(m - M)
        """,
        example="""
            >>> softmax_online(np.log(np.array([[1.0, 3.0, 4.0]])))
            array([[0.125, 0.375, 0.5  ]])
        """,
        hints=(
            "Two numbers travel along the row: the largest score so far, and the sum as it would "
            "be if that were the final maximum.",
            "When the maximum changes, first repair the old sum by the factor, then add the new "
            "summand, which is 1.",
            "As long as everything was -inf there is nothing to repair, and -inf - (-inf) would "
            "be NaN: ask before you subtract. A second pass writes the quotients.",
        ),
        points=2,
        kind="numba",
    ),
    Exercise(
        id="matmul_tiled",
        unit="numba",
        title="Numba: a product of matrices, tile by tile",
        functions=(loops.matmul_tiled,),
        goal="Multiply two matrices in tiles, so that what was read from memory is used again "
        "while it is near. The last tiles may be smaller.",
        formula="""
            y[i, j] = sum over k of a[i, k] b[k, j]
            three loops over tiles: rows of y, columns of y, and k; inside three loops over a tile
        """,
        example="""
            >>> a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
            >>> matmul_tiled(a, np.array([[1.0], [10.0], [100.0]]), 2)
            array([[321.],
                   [654.]])
        """,
        hints=(
            "Write the three plain loops first and see that they are right. Then cut each range "
            "into pieces of length `tile`.",
            "range(0, n, tile) gives the beginnings of the tiles. Where does a tile end, if n is "
            "no multiple of tile?",
            "y must begin as zeros, in the dtype of a: each tile along k adds its part to the "
            "sums. min(start + tile, n) ends the inner loops.",
        ),
        points=2,
        kind="numba",
    ),
    Exercise(
        id="vector_add",
        unit="cuda",
        title="CUDA: add two vectors",
        functions=(threads.vector_add,),
        goal="The first program for a GPU: a thread for each element. Write a kernel (a function "
        f"under @cuda.jit that returns nothing) and start it from vector_add. {SIMULATOR}",
        formula="""
            thread number i of the whole grid:  y[i] = a[i] + b[i],  if there is an element i
        """,
        example="""
            >>> vector_add(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
            array([11., 22., 33.])
        """,
        hints=(
            "In the kernel cuda.grid(1) tells the thread its number. From Python start it with "
            "kernel[blocks, threads](a, b, y).",
            "32 threads for each block; as many blocks as fill the vector, rounded up. So there "
            "are a few threads too many: they must do nothing.",
            "Bring arrays to the device by cuda.to_device, make y there by "
            "cuda.device_array(shape, dtype), and bring it home with y.copy_to_host().",
        ),
        kind="cuda",
    ),
    Exercise(
        id="softmax_blocks",
        unit="cuda",
        title="CUDA: softmax, a block for each row",
        functions=(threads.softmax_blocks,),
        goal="The threads of a block share a row: each takes some of its scores, and together they "
        f"find the maximum and the sum, in shared memory. {SIMULATOR}",
        formula="""
            y[t, s] = exp(x[t, s] - m[t]) / sum over s of exp(x[t, s] - m[t]);  a row of -inf is 0
            reduction: half of the threads add another's number to theirs, then half of these ...
        """,
        example="""
            >>> softmax_blocks(np.log(np.array([[1.0, 3.0], [1.0, 1.0]])))
            array([[0.25, 0.75],
                   [0.5 , 0.5 ]])
        """,
        hints=(
            "Block number cuda.blockIdx.x is the row. Thread number cuda.threadIdx.x takes the "
            "scores thread, thread + 32, thread + 64 ... and finds their maximum alone.",
            "cuda.shared.array(32, float64) is seen by all threads of the block. After each write "
            "that others will read: cuda.syncthreads(), in which all threads must take part.",
            "Halve the number of active threads in a loop: 16, 8, 4, 2, 1. Then all read "
            "shared[0], wait for each other, and use the array again for the sum.",
        ),
        points=3,
        kind="cuda",
    ),
    Exercise(
        id="matmul_shared",
        unit="cuda",
        title="CUDA: a product of matrices in shared memory",
        functions=(threads.matmul_shared,),
        goal="A block of 8 by 8 threads computes a tile of y. It walks along k, and at each step "
        f"all its threads together fetch a tile of a and one of b. {SIMULATOR}",
        formula="""
            y[i, j] = sum over k of a[i, k] b[k, j]
        """,
        example="""
            >>> a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
            >>> matmul_shared(a, np.array([[1.0], [10.0], [100.0]]))
            array([[321.],
                   [654.]])
        """,
        hints=(
            "i, j = cuda.grid(2) is the element of y that the thread is responsible for; "
            "cuda.threadIdx.x and .y are its place in the tile.",
            "At each step every thread copies one element of a and one of b into two shared "
            "arrays, and 0 where the matrix has ended. These need two lines of source of their "
            "own.",
            "Two barriers at each step: one before the tiles are read, one before they are "
            "overwritten. No thread may return early, or the others wait for it in vain; only "
            "writing y at the end asks whether the element exists.",
        ),
        points=3,
        kind="cuda",
    ),
)
