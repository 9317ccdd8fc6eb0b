# `make demo` and `make test` need only Python >= 3.11, git and make: they create .venv and install into it first.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
DEMO = -c configs/quickstart.yaml -c configs/plugins/channels_last.yaml -c configs/plugins/repr.yaml

.PHONY: demo test install clean

demo: $(VENV)/installed
	$(RUN) main.py fit $(DEMO) --name demo
	$(RUN) main.py test $(DEMO) -c configs/plugins/fooling_rate.yaml --trainer.callbacks.images 50 \
		-c configs/plugins/corruption_error.yaml --trainer.callbacks.images 60 \
		-c configs/plugins/destruction_rate_short.yaml --trainer.callbacks.images 25 --name demo --ckpt_path best

test: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q -n 2 --dist worksteal

install: $(VENV)/installed

# Modules are compiled when they are first imported; all of torch's at once would take 45 s.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check --no-compile -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) runs *.egg-info
