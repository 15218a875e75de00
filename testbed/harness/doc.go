// Package harness starts what tests and benchmarks need of the real world: hubs and agents as processes, brokers and
// databases that we did not write, receivers for what sinks send. Everything listens on free loopback ports, keeps its
// files in folders of its own, and ends with the test or, at the latest, with the process that started it, however that
// ends.
//
// It asserts nothing about Hawser: that is for the tests. Its functions take an Env, which testing.TB satisfies, and fail
// it when the world does not come up.
package harness
