"""Reports in a notebook: Rich sends what it prints to the page there, and `str` must not."""

import torch
from rich import console

import sterling.torch as stt


def test_the_text_of_a_report_is_the_same_in_a_notebook(monkeypatch):
    report = stt.audit(stt.binarize(torch.nn.Sequential(torch.nn.Linear(2, 1))))
    text = str(report)
    monkeypatch.setattr(console, "_is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # kernels have it
    assert str(report) == text
    assert "identity" in text
