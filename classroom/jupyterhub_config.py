"""Try the whole classroom on your own machine: a hub on loopback with an instructor and two students.

    RNNLAB_CLASSROOM=folder jupyterhub -f classroom/jupyterhub_config.py

and then http://127.0.0.1:8010/ with the password that it prints, or RNNLAB_PASSWORD. NEVER for a class: for the system
everybody is you, so that each can read what the others write, and one password opens all accounts.
tests/test_classroom.py sends a problem set through it. For a class see tljh/ (one machine) and z2jh/ (Kubernetes).
"""

import os
import secrets
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterHub provides it)

HERE = Path(__file__).resolve().parent
PLACE = Path(os.environ.get("RNNLAB_CLASSROOM", "classroom-try")).resolve()
INSTRUCTOR, STUDENTS = "instructor", ("ada", "ben")
COURSE, EXCHANGE = PLACE / "home" / INSTRUCTOR / "rnnlab", PLACE / "exchange"

for name in (INSTRUCTOR, *STUDENTS):
    (PLACE / "home" / name).mkdir(parents=True, exist_ok=True)
EXCHANGE.mkdir(exist_ok=True)
EXCHANGE.chmod(0o777)  # as nbgrader asks: everybody puts something there

# ---- where it listens: only this machine can reach it

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ.get('RNNLAB_HUB_PORT', 8010)}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ.get('RNNLAB_HUB_INNER_PORT', 8011)}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ.get('RNNLAB_HUB_PROXY_PORT', 8012)}"
c.ConfigurableHTTPProxy.command = [os.environ.get("RNNLAB_HUB_PROXY", "configurable-http-proxy")]

# ---- what it keeps, all in one folder

c.JupyterHub.db_url = f"sqlite:///{PLACE / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(PLACE / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(PLACE / "proxy.pid")

# ---- who may come in

if not (password := os.environ.get("RNNLAB_PASSWORD")):
    password = secrets.token_hex(8)
    print(f"names: {INSTRUCTOR}, {', '.join(STUDENTS)}; password: {password}")
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password
c.Authenticator.allowed_users = {INSTRUCTOR, *STUDENTS}

# ---- what everybody gets: JupyterLab in a home of their own, with nbgrader set up

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(PLACE / "home" / "{username}")
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(HERE),  # nbgrader_config.py
    "PYTHONPATH": str(HERE.parent),  # rnnlab and the grader
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # alembic, which nbgrader calls
    "RNNLAB_EXCHANGE": str(EXCHANGE),
    "RNNLAB_ONE_SYSTEM_USER": "1",
    "RNNLAB_COURSE": lambda spawner: str(COURSE) if spawner.user.name == INSTRUCTOR else "",
}

# ---- a program that works the hub, such as the test: it starts servers and uses them as their users would

if token := os.environ.get("RNNLAB_HUB_TOKEN"):
    c.JupyterHub.services = [{"name": "robot", "api_token": token}]
    scopes = ["admin:users", "admin:servers", "access:servers"]
    c.JupyterHub.load_roles = [{"name": "robot", "scopes": scopes, "services": ["robot"]}]
