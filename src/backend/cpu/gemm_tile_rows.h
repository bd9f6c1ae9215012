/* Makes the height of a GEMM tile a constant, so that its sums become registers. A file that defines ROWS, the tallest
 * (3, 6 or 14), the types `unit` of a and b and `result`, and tile(rows, …), includes this and calls multiply_rows. */
CLIPC_ALWAYS_INLINE void multiply_rows(size_t rows, size_t blocks, const unit *a, const unit *b, result *out,
                                       size_t out_stride)
{
    switch (rows) {
    case 1: tile(1, blocks, a, b, out, out_stride); break;
    case 2: tile(2, blocks, a, b, out, out_stride); break;
    case 3: tile(3, blocks, a, b, out, out_stride); break;
#if ROWS > 3
    case 4: tile(4, blocks, a, b, out, out_stride); break;
    case 5: tile(5, blocks, a, b, out, out_stride); break;
    case 6: tile(6, blocks, a, b, out, out_stride); break;
#endif
#if ROWS > 6
    case 7: tile(7, blocks, a, b, out, out_stride); break;
    case 8: tile(8, blocks, a, b, out, out_stride); break;
    case 9: tile(9, blocks, a, b, out, out_stride); break;
    case 10: tile(10, blocks, a, b, out, out_stride); break;
    case 11: tile(11, blocks, a, b, out, out_stride); break;
    case 12: tile(12, blocks, a, b, out, out_stride); break;
    case 13: tile(13, blocks, a, b, out, out_stride); break;
    case 14: tile(14, blocks, a, b, out, out_stride); break;
#endif
    default: break;
    }
}
