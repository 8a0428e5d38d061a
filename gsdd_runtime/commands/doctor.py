"""``gsdd-rt doctor``: what is built, what is found, what each part can run, and how to get the rest."""

from __future__ import annotations

import typer

from gsdd_runtime.commands.shared import JsonOption, print_json


def command(as_json: JsonOption = False) -> None:
    """Check every part of the installation; exit 1 if decoding with PyTorch does not work."""
    from gsdd_runtime.commands.examination import examine

    findings = examine()
    if as_json:
        print_json({"parts": [finding.to_dict() for finding in findings]})
    else:
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            print(f"{finding.status:<8} {finding.part:<{width}}  {finding.detail}")
            if finding.remedy:
                print(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    if any(finding.required and finding.status != "ok" for finding in findings):
        raise typer.Exit(1)
