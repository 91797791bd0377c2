"""llama.cpp's own HTTP server, from the xllamacpp wheel, until SIGTERM.

usage: serve.py MODEL.gguf PORT

Prints `ready` when it listens on 127.0.0.1:PORT.
"""

import os
import signal
import sys

import xllamacpp

SLOTS, CONTEXT = 4, 8192


def main(model, port):
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT * SLOTS
    params.cont_batching = True
    params.n_threads_http = 8
    params.endpoint_metrics = True
    # A slot keeps its prompt until it is needed: what the test observes is the slots' own cache.
    params.cache_idle_slots = False
    params.cache_ram_mib = 0
    # One thread an instance: three share the machine with Envoy.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    _server = xllamacpp.Server(params)
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # The threads of a server that is torn down politely take seconds; the kernel frees everything.
    os._exit(0)


if __name__ == "__main__":
    # Blocked before the server starts its threads, which inherit it: sigwait alone receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(sys.argv[1], int(sys.argv[2]))
