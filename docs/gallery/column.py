"""What a certificate proves of each weight, in one column of a paper."""

import sys

import sterling as st

proof = st.certify(st.Problem(n=12, samples=1600, noise=0.5).draw(seed=0))
with st.plot.column():
    ax = proof.plot()
    st.plot.save_figure(ax.figure, sys.argv[1])
