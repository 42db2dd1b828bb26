# The whole developer interface. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help test-containerd demo test test-upgrade test-nodes test-roles test-life test-accidents test-offline unit lint fmt generate checks chart-test chart-lab component survive survive-agent test-v2 sanity e2e bench fuzz audit image image-oci image-rootfs image-context image-check image-test push chart build lock bench-agent lab-up lab-down clean setup binaries need-root test-old console-test test-ansible docs-site test-neighbours bench-collection test-debian13 picture assess-test console-lab test-all wheel test-cli version release test-release

PYTHON ?= python3
export PYTHONPATH := reconciler/src:.
export COLOCATION_CACHE ?= $(HOME)/.cache/openfuyao-colocation
BIN := .venv/bin
PYTEST := $(BIN)/pytest
CODE := reconciler/src reconciler/tests tests tools build
step = @printf '\n\033[1m==> %s\033[0m\n' "$(1)"

root = @[ "$$(id -u)" = 0 ] || { echo "make $(MAKECMDGOALS): it makes machines and network namespaces, and needs root; 'make unit' does not" >&2; exit 2; }

help:  ## show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1mmake %-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: need-root setup  ## the main job, live, on a real local cluster (root; about 15 min the first time, 4 after; KEEP=1 leaves it up, with the console)
	@$(BIN)/python -m tests.demo

test: need-root lint unit build  ## everything that must pass (root; 25 min warm on 2 cores, 45 the first time)
	@tools/beside '$(MAKE) --no-print-directory checks' '$(MAKE) --no-print-directory e2e'
	$(call step,everything passed)

test-all: need-root setup  ## every suite, one after the other, into docs/verified.md; continues where it was interrupted (root; many hours)
	@$(BIN)/python -m tests.all

checks: chart-test component sanity image-check  ## all that needs no machines, after lint and unit

unit: setup  ## pure logic, in seconds
	$(call step,unit tests)
	@$(PYTEST) -q -m 'not apiserver and not lab' reconciler/tests/unit tests/unit tests/lab/tests tests/demo/tests tests/bench/tests tests/fuzz/tests tests/all/tests tests/supply

lint: setup  ## ruff, mypy, import contracts, prose, licences, generated files
	$(call step,lint)
	@$(BIN)/ruff check --quiet $(CODE) && $(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/mypy --no-error-summary reconciler/src tests/lab tests/ansible tests/demo tests/survive tests/e2e tests/chart tests/chart_lab tests/osc tests/ops tests/collection tests/neighbours tests/console tests/image tests/bench tests/fuzz tests/all tests/installed tests/release tests/supply tests/assess tools build
	@$(BIN)/lint-imports --config pyproject.toml | tail -4
	@$(BIN)/python -m tools.generate --check
	@$(BIN)/python -m tools.prose
	@$(BIN)/python -m tools.catalogue
	@$(BIN)/reuse lint --quiet || $(BIN)/reuse lint

fmt: setup  ## format, and fix what ruff can fix
	@$(BIN)/ruff check --fix --quiet $(CODE) || true
	@$(BIN)/ruff format --quiet $(CODE)

generate: setup  ## CRDs and the collection's generated files, from their one source
	@$(BIN)/python -m tools.generate

chart-test: setup binaries  ## chart, CRDs and admission against a real API server; service packages; modules and inventory; by Helm 3 and 4
	@$(BIN)/python -m tests.lab build helm3 kubeconform promtool
	$(call step,chart and admission against a real API server)
	@$(PYTEST) -q tests/chart tests/osc tests/collection

chart-lab: need-root setup image  ## the chart, its scheduler profile, dashboards and alerts on a real cluster with a real Prometheus (root, 15 min)
	@$(BIN)/python -m tests.lab build helm prometheus
	$(call step,the chart on a real cluster)
	@$(PYTEST) -q -x tests/chart_lab

assess-test: setup binaries  ## colocation assess against a real Prometheus with two weeks of use and a real API server (4 min, the first time 15)
	@$(BIN)/python -m tests.lab build prometheus promtool
	$(call step,colocation assess: a real Prometheus, and all that can be wrong with one)
	@$(PYTEST) -q tests/assess

component: setup binaries  ## manager and client against a real API server
	$(call step,manager against a real API server)
	@$(PYTEST) -q -m 'not long' reconciler/tests/component

console-test: setup binaries  ## the console in a real browser, against a real API server and manager: journeys, states, screenshots (5 min)
	$(call step,the console in a browser)
	@$(PYTEST) -q tests/console

console-lab: need-root setup build  ## the console on two real nodes: a starved node is found and helped in at most 12 clicks (root)
	$(call step,the console on real nodes)
	@$(PYTEST) -q -x tests/e2e/journey_console.py

survive: setup binaries  ## all that a manager must survive, against a real API server: kills, 410, 429, wire, clocks (8 min)
	$(call step,what a manager survives)
	@$(PYTEST) -v reconciler/tests/component/test_survives.py

survive-agent: need-root setup binaries  ## what an agent survives, on a real node (v1): kills, full disk, API away, restarts, reboot, garbage (root; 14 min; KILLS=60)
	$(call step,what an agent survives)
	@MACHINE=v1 $(PYTEST) -v -x tests/survive

test-v2: need-root setup binaries  ## the same, and more, on an emulated machine with cgroup v2 and a real kubelet (root; 27 min)
	$(call step,an emulated machine with cgroup v2)
	@MACHINE=v2 $(PYTEST) -v -x tests/survive

sanity: setup  ## the collection: ansible-test sanity, ansible-lint production, built and installed elsewhere
	$(call step,collection sanity)
	@$(BIN)/python -m tests.ansible.check

test-ansible: need-root setup binaries  ## the collection on ansible-core 2.19, 2.20, 2.21 and Python 3.9, 3.11, 3.13; bad input (root; long)
	$(call step,every ansible-core and Python that the collection claims)
	@$(BIN)/python -m tests.ansible.cores
	$(call step,bad input gets a sentence)
	@$(PYTEST) -q tests/ansible
	$(call step,what Galaxy says of the artifact)
	@$(BIN)/python -m tests.ansible.galaxy

test-debian13: need-root setup build  ## the roll-out on nodes that run Debian 13 (root; 9 min)
	$(call step,the lab with Debian 13)
	@LAB_DEBIAN=13 $(PYTEST) -q -x tests/e2e/test_1_rollout.py tests/e2e/test_2_data.py tests/e2e/test_4_uninstall.py

docs-site: setup  ## the reference and these docs as a web site, linted: build/out/docs (1 min)
	@$(BIN)/python -m tools.docs_site

picture: setup binaries  ## take the README's picture again: docs/pictures/explain.svg (20 s)
	@$(BIN)/python -m tools.picture

bench-collection: need-root setup build binaries  ## speed of site on 2 nodes and on 100 light hosts, into docs/benchmarks/ (root; 26 min)
	@$(BIN)/python -m tests.bench collection

e2e: need-root setup build  ## the lab end to end: roll out, use, break, uninstall (root)
	$(call step,the lab end to end)
	@$(PYTEST) -q -x tests/e2e

test-upgrade: need-root setup image-oci build  ## upgrade in waves, rollback, killed rollouts, between versions built here (root; not in make test)
	$(call step,upgrade and rollback on real machines)
	@$(PYTEST) -q -x tests/ops/test_upgrade.py

test-nodes: need-root setup build  ## preflight's report, nodes that join and leave (root; not in make test)
	$(call step,nodes that join and leave)
	@$(PYTEST) -q -x tests/ops/test_nodes.py

test-roles: need-root setup build  ## kubelet, containerd, images that are built: changed, broken, put back (root; 13 min)
	$(call step,kubelet and containerd on real machines)
	@$(PYTEST) -q -x tests/ops/test_roles.py

test-life: need-root setup build  ## report, verify, backup, restore, taking over, on machines (root; 31 min)
	@$(BIN)/python -m tests.lab build versitygw
	$(call step,the plays of every day)
	@$(PYTEST) -q -x tests/ops/test_life.py

test-accidents: need-root setup build  ## what goes wrong while plays run: nodes down, ssh cut, reboots, full disks (root; 19 min)
	$(call step,accidents on real machines)
	@$(PYTEST) -q -x tests/ops/test_accidents.py

test-offline: need-root setup image-oci build  ## an air-gapped site installs from a bundle, upgrades from another, goes back (root; not in make test)
	$(call step,bundles, with the network cut)
	@$(PYTEST) -q -x tests/ops/test_offline.py

test-neighbours: setup binaries  ## a real descheduler beside best-effort pods, against a real API server and Prometheus (4 min; longer the first time)
	@$(BIN)/python -m tests.lab build descheduler
	$(call step,neighbours)
	@$(PYTEST) -q tests/neighbours

test-containerd: setup binaries  ## roles and modules against a real containerd 2 (seconds; 10 min more the first time)
	@$(BIN)/python -m tests.lab build containerd
	$(call step,containerd)
	@$(PYTEST) -q tests/collection/test_containerd.py

test-old: need-root setup build  ## admission by the webhook, and the lab, on Kubernetes 1.32 (root; 10 min more the first time)
	$(call step,the webhook against a real API server 1.32)
	@KUBE=1.32 $(PYTEST) -q tests/chart/test_admission.py tests/chart/test_webhook.py
	$(call step,the lab with Kubernetes 1.32)
	@KUBE=1.32 $(PYTEST) -q -x tests/e2e/test_1_rollout.py tests/e2e/test_2_data.py tests/e2e/test_4_uninstall.py

bench: setup binaries  ## figures beside their floors, into docs/benchmarks/ (about 10 min; SCALE=full: 10,000 nodes on the server, half an hour)
	@$(BIN)/python -m tests.bench

bench-agent: need-root setup binaries  ## what the agent costs and what a service feels of it, on a lab node (root; 30 min beside nothing else)
	@$(BIN)/python -m tests.bench agent

audit: setup  ## pip-audit of what goes into the image (asks PyPI or osv.dev for advisories; fails if neither is reachable)
	@$(BIN)/python -m tools.audit

SECONDS_EACH ?= 30
fuzz: setup  ## every parser under a coverage-guided fuzzer (SECONDS_EACH=30: 6 min in all; findings in .fuzz/)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS_EACH)

image: setup  ## the image for amd64 and arm64, an OCI layout archive: build/out/colocation-image.tar
	@$(BIN)/python -m build.image

image-check: setup need-root  ## the image twice, elsewhere, to the byte; its locks; its bill of materials (1 min, part of `make test`)
	$(call step,the image: reproducible and locked)
	@$(PYTEST) -q tests/image/test_build.py tests/image/test_bill.py tests/image/test_lock.py tests/image/test_chart.py tests/image/test_tools.py

image-test: setup need-root  ## all of image-check, and: arm64 started, a real registry, signatures, helm from oci:// (root; 3 min, first time 10)
	$(call step,the image: everything)
	@$(BIN)/python -m tests.lab build cosign
	@$(PYTEST) -q tests/image

image-oci: setup  ## also one archive an architecture, which `docker load` takes too
	@$(BIN)/python -m build.image oci

image-rootfs: setup  ## also the root file systems, one tar an architecture
	@$(BIN)/python -m build.image rootfs

image-context: setup  ## only what build/Dockerfile is built in, for another tool: build/out/context
	@$(BIN)/python -m build.image context

push: setup binaries  ## image and chart to a registry: REGISTRY=host/path [PLAIN_HTTP=1] [COSIGN_KEY=file]
	@$(BIN)/python -m build.push "$(REGISTRY)"

chart: setup binaries  ## the packaged chart, in build/out/
	@$(BIN)/python -m build.chart

lock: setup  ## move what goes into the image to the newest that its ranges allow (build/lock/)
	@$(BIN)/python -m build.lock

wheel: setup  ## the command line (and manager, agent) as a wheel for pipx, in build/out/
	@$(BIN)/python -m build.wheel

test-cli: setup binaries  ## the wheel installed by pipx: kubectl plugin, logins, completion in bash, zsh, fish (2 min)
	$(call step,the command line as its users have it)
	@$(PYTEST) -q tests/installed

build: image chart wheel  ## image, chart, wheel and the collection's artifact, in build/out/
	@$(BIN)/python -m build.collection

version: setup  ## what the commit of a release changes: the number, and the changelog (VERSION=1.2.3)
	@$(BIN)/python -m build.version "$(VERSION)"

release: setup binaries  ## everything of a release in build/out/release/VERSION (VERSION=1.2.3 [COSIGN_KEY=file]); docs/releasing.md
	@$(BIN)/python -m build.release "$(VERSION)"

test-release: need-root setup binaries  ## a release as a dry run: made twice, published to servers on this machine, installed from there (root; 12 min)
	@$(BIN)/python -m tests.lab build cosign
	$(call step,a release that is published nowhere but here)
	@$(PYTEST) -q -x tests/release

lab-up: need-root setup  ## only the cluster: .lab/kubeconfig, .lab/inventory.yml, .lab/bin (root)
	@$(BIN)/python -m tests.lab up

lab-down: need-root  ## take it away again
	@$(PYTHON) -m tests.lab down

need-root:
	$(root)

binaries: setup
	@$(BIN)/python -m tests.lab build

setup:
	@tools/bootstrap
	@$(BIN)/python tests/ansible/prepare.py >/dev/null

clean:  ## what was built in this clone (the cache folder stays)
	@rm -rf build/out dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
