"""Help as plain text: under headings, and without what draws boxes, which takes as long as the rest."""

from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    # At run time these are Click's or typer's own, depending on typer's version.
    from typer._click import Context, HelpFormatter

_TASK = ("--label", "--labels", "--target", "--targets")
MEANT = dict.fromkeys(_TASK, "--task") | {"--lr": "--learning-rate"}
"""Options of other programs, and ours for them."""


class CommandUnderHeadings(TyperCommand):
    """A command whose options stand under the headings of `rich_help_panel`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        known = {flag for parameter in self.params for flag in parameter.opts}
        for flag in (argument.partition("=")[0] for argument in args):
            if flag not in known and MEANT.get(flag) in known:
                ctx.fail(f"No such option: {flag} (did you mean {MEANT[flag]}?)")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Other"
                headings.setdefault(heading, []).append(row)
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
