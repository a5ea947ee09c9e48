"""The Littlest JupyterHub: /opt/tljh/config/jupyterhub_config.d/rnnlab.py tells an instructor's server its course."""

c = get_config()  # noqa: F821 (JupyterHub provides it)

INSTRUCTORS = {"instructor"}  # names at the hub; the accounts on the machine are jupyter-<name>


def only_for_instructors(folder):
    """Return what gives an instructor's server the path of a folder in its home, and any other an empty text."""
    return lambda spawner: f"/home/jupyter-{spawner.user.name}/{folder}" if spawner.user.name in INSTRUCTORS else ""


c.Spawner.environment = {
    "RNNLAB_COURSE": only_for_instructors("course"),  # source/, submitted/, the gradebook
    "PYTHONPATH": only_for_instructors("rnnlab"),  # the clone, for `python -m grading`
}
