"""Compiled loops of the engine.

batch.py             One query or many: many are answered on all cores, and together where the
block_kernels.py     Which documents of a block meet the demand, and room for them until they
code_kernels.py      Codes of queries' vectors, as `ranking.engine.segment.codes` explains the
demand_kernels.py    What a document that only words can find must have to be among the hits
feature_kernels.py   What the first phase reads of documents, and its value: exactly, or at mo
finding.py           A query over several segments: what `fused_kernels.search` does for one
finish.py            From the best documents of a first phase to a result: later phases, and t
fused.py             Queries answered in compiled code, where their first phase rises with BM2
fused_kernels.py     A query over one segment in one compiled call: the nearest, and the hits
kernels.py           Inner loops, compiled on first use and kept on disk
machine.py           Ranking expressions as programs of a small machine, for compiled code tha
many.py              Queries of one profile answered together, in one compiled call: see `rank
many_kernels.py      Many queries over one segment in one compiled call, one first phase for a
many_layout.py       Many queries over one segment, laid out side by side for compiled code
many_scans.py        What reads a whole segment, for many queries at once: tile by tile, each
near_kernels.py      The nearest vectors: codes scanned from end to end, the best of them comp
part_kernels.py      A rough BM25 for every document, never too low, added up a block of docum
prefetch.py          Asking memory for a row before it is needed: rows at random places are wa
register_kernels.py  What vector registers do that numba has no words for, written in LLVM's
row_kernels.py       64 documents at a time in vector registers: their sums, and which of them
sought.py            What a query seeks in each segment, as the compiled kernels take it
term_bounds.py       What each posting of a segment adds to BM25 at most, laid out to be added
term_kernels.py      BM25 of chosen documents, exactly: from their frequencies, term by term,
tile_kernels.py      The best documents for many queries at once, tile by tile, so that each i
word_kernels.py      The hits that words find, in one pass over all documents
word_weights.py      What words weigh over all segments of a view: BM25's statistics, and each
"""
