"""The one plot style, and figures of results."""

from cycler import cycler

#: Okabe and Ito's colour-blind safe colours, the pale ones darkened to a contrast of at least 3 on white.
SERIES = ["#0072b2", "#c4500a", "#008060", "#a3568a", "#8a6d00", "#3a86b8", "#5b5b5b", "#7a3e2a"]

#: Matplotlib settings of every figure in the book, as for `matplotlib.rc_context`.
STYLE = {
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,  # on a phone a panel is drawn 1.1 times as large
    "grid.alpha": 0.35,
    "grid.linewidth": 0.5,
    "image.cmap": "cividis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "rnnlab",
}


def lines(curves, xlabel, ylabel, log=False):
    """Return a figure with one line for each entry of a dict name -> numbers, against their index."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        ax = figure.subplots()
        for name, numbers in curves.items():
            ax.plot(range(len(numbers)), numbers, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        if curves:
            ax.legend()
    return figure
