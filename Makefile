# SPDX-License-Identifier: Apache-2.0
#
# Everything a developer types. `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help setup cluster-programs demo test test-vfio lint bench bench-bindings bench-driver bench-cluster soak synth formal mutants mutants-nightly generate capture cluster cluster-down test-e2e clean
MAKEFLAGS += --no-print-directory

VENV_PYTHON := .tools/venv/bin/python
LBSIM := target/release/lbsim

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

setup: ## Debian packages (as root), Python tools in .tools/venv, Rust crates; called by all others
	@tools/setup.sh

$(LBSIM): setup
	@echo "building lbsim and the NIC models (minutes the first time)"
	@cargo build --locked --release -p lbsim

demo: $(LBSIM) ## Four Verilated NICs share real and generated traffic; a host is taken out
	@$(LBSIM) demo

cluster-programs: $(LBSIM)
	@cargo build --locked --release --bin lbd --bin lbctl --bin hashgate-hostpath --bin hashgate-softnic

cluster: cluster-programs ## Four hosts with a NIC, lbd and nginx each, in network namespaces, and a shell (as root)
	@tools/cluster/run.py up $(CLUSTER)

cluster-down: ## Removes what make cluster has made, if anything is left
	@tools/cluster/run.py down

test: setup ## Every check and test
	@tools/verify.py test

test-vfio: $(LBSIM) ## The driver over VFIO in a guest under QEMU (part of make test; downloads 80 MB once)
	@tools/guest/run.py

test-e2e: cluster-programs ## Real clients on a cluster of network namespaces: faults, changes, mistakes (as root, about an hour)
	@tests/e2e/run.py

lint: setup ## The checks that run no test: generated files, Verilator, slang, clippy, rustfmt
	@tools/verify.py lint

bench: $(LBSIM) ## Line rate, latency and loss by frame size
	@$(LBSIM) bench

bench-bindings: $(LBSIM) ## What binding tables hold and how fast; connections through joins and leaves (minutes)
	@$(LBSIM) bench bindings

bench-driver: $(LBSIM) ## The driver's rings: packets a second, tables by DMA, a driver that is killed under traffic
	@$(LBSIM) bench driver

bench-cluster: $(LBSIM) ## The cluster protocol: crashes, maps, heartbeats, connections in simulated clusters (minutes)
	@cargo build --locked --release -p hashgate-cluster-sim --features mutants --example double_accepts
	@$(LBSIM) bench cluster

soak: setup ## 100 000 scenarios of the cluster simulator, and 10 000 of each further class (hours)
	@cargo build --locked --release -p hashgate-cluster-sim --example soak
	@target/release/examples/soak --count 100000
	@for class in 1 2 3 4; do target/release/examples/soak --class $$class --count 10000 || exit 1; done

synth: setup ## Size and logic depth of the 512-bit core and host interface, with open tools
	@$(VENV_PYTHON) hw/synth/run.py
	@$(VENV_PYTHON) hw/synth/run.py --top host_interface

formal: setup ## Proofs of the binding table to larger depths, and deliberate bugs that they must refute (long)
	@$(VENV_PYTHON) hw/formal/run.py --deep

mutants: setup ## Are deliberate RTL bugs caught? All hand-written ones and a sample of generated ones
	@$(VENV_PYTHON) tools/mutants/run.py

mutants-nightly: setup ## The same with 200 generated bugs, explained survivors among them (hours)
	@$(VENV_PYTHON) tools/mutants/run.py --generated 200 --explained

generate: setup ## Makes the generated files again after a change of their source
	@hw/defs/generate.py
	@hw/regs/generate.sh
	@docs/pictures/make.py

capture: ## Makes tests/captures/real.pcapng again (as root; Linux network namespaces)
	@tests/captures/make.sh

clean: ## Removes everything that was built (not .tools)
	@rm -rf target out
