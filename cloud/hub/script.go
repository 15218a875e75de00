package hub

import (
	"os"
	"runtime"

	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/script/worker"
)

// ScriptWorkerArg is the argument that makes the hub's binary a script worker instead, see ScriptWorker. It is for the hub itself.
const ScriptWorkerArg = "script-worker"

// scriptWorker is how a worker is started: this binary again, on Linux even when another one lies where it was.
func scriptWorker() []string {
	self := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			self = os.Args[0]
		}
	}
	return []string{self, ScriptWorkerArg}
}

// newScripts returns the parse scripts, whose workers are started when the first one is wanted.
func (h *Hub) newScripts() *script.Scripts {
	c := script.DefaultConfig()
	c.Pool.Command = scriptWorker()
	c.Pool.Workers, c.Pool.CPU, c.Pool.Wall = h.cfg.ScriptWorkers, h.cfg.ScriptCPU, h.cfg.ScriptWall
	c.Pool.Memory, c.Pool.Result = int64(h.cfg.ScriptMemory)<<20, h.cfg.ScriptResult<<10
	return script.New(c, script.Deps{Store: h.db, Registry: h.registry, Bus: h.bus, Log: h.log.With("part", "script"), Metrics: h.metrics})
}

// ScriptWorker is the life of a script worker; it returns the exit code.
func ScriptWorker() int { return worker.Main(os.Stdin, os.Stdout, os.Exit) }
