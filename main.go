// Claviger issues, limits, watches and retires API keys: one binary with a dashboard for the team that manages the keys
// and a validate endpoint for the apps and gateways that use them.
package main

import (
	"os"

	"github.com/claviger/claviger/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }
