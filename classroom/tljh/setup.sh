#!/usr/bin/env bash
# On the hub's machine, as root, in a clone of this repository: sudo bash classroom/tljh/setup.sh
# Needs The Littlest JupyterHub, and an account `instructor` that has logged in once. May be run again.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=/home/jupyter-instructor

apt-get install -y bubblewrap make # the grader's sandbox
/opt/tljh/user/bin/python -m pip install --constraint constraints.txt '.[coursework]'

# Where problem sets and answers change hands. nbgrader lets students write there, and nobody but the instructor read.
install -d -m 0777 /srv/nbgrader/exchange
install -D -m 0644 classroom/nbgrader_config.py /opt/tljh/user/etc/jupyter/nbgrader_config.py

# The clone and the course are the instructor's alone: source/ has the solutions.
install -d -m 0700 -o jupyter-instructor -g jupyter-instructor "$home/rnnlab" "$home/course"
cp -r . "$home/rnnlab"
cp -r notebooks/coursework/source "$home/course/"
chown -R jupyter-instructor: "$home/rnnlab" "$home/course"

install -m 0644 classroom/tljh/jupyterhub_config.py /opt/tljh/config/jupyterhub_config.d/rnnlab.py
echo "Now put your names into /opt/tljh/config/config.yaml, as in classroom/tljh/config.yaml, and: sudo tljh-config reload"
