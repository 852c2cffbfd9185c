"""The paper's symbols in HTML and TeX."""

from cribo.report.render.symbols import as_html
from cribo.report.render.to_html import render_html
from cribo.report.render.to_latex import escape
from cribo.report.tables.table import Column, Number, Row, Table


def test_symbols_are_raised_and_lowered_and_nothing_else_is():
    assert as_html("L_cv^g + L_ci^o <b>") == "L<sub>cv</sub><sup>g</sup> + L<sub>ci</sub><sup>o</sup> &lt;b&gt;"
    assert (
        as_html("λ_pos 4") == "λ<sub>pos</sub> 4"
        and as_html("clustering.lambda_pos, XL_cv") == "clustering.lambda_pos, XL_cv"
    )


def test_latex_sets_symbols_in_math_mode_and_escapes_what_is_between():
    assert escape("+ L_cv^o & λ_pos") == r"+ $L_{\mathrm{cv}}^{\mathrm{o}}$ \& $\lambda_{\mathrm{pos}}$"


def test_numbers_without_a_spread_keep_its_room_in_a_column_that_has_one():
    rows = (Row("a", (Number(1.0, 0.25, 2), Number(3.0))), Row("b", (Number(12.0), Number(4.0))))
    html = render_html(Table("t", "T", (Column("", "x"), Column("", "y")), rows))
    assert html.count('<small class="room" aria-hidden="true"> ± 0.2</small>') == 1 and "12.0<small" in html
