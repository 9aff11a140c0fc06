"""Formulas as MathML, which browsers draw by themselves: no script, no font and no network are needed.

Docutils translates TeX; this extension hands its result to Sphinx. What Docutils cannot read is a warning,
hence, with ``-W``, the end of the build.
"""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

LOG = logging.getLogger(__name__)


def _translated(node, as_block):
    formula = re.sub(
        r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", node.astext()
    )  # as TeX reads it, Docutils does not
    try:
        text = tex2mathml(formula, as_block=as_block)
    except (MathError, IndexError) as error:
        LOG.warning("formula %r: %s", node.astext(), error, location=node)
        return ""
    # Braces and bars written plainly are letters; those that grow are written with left and right.
    return re.sub(r"<mo>([{}|‖∥])</mo>", r'<mo stretchy="false">\1</mo>', text)


def _inline(translator, node):
    translator.body.append(_translated(node, as_block=False))
    raise SkipNode


def _block(translator, node):
    translator.body.append(f'<div class="math">{_translated(node, as_block=True)}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
