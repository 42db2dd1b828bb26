// SPDX-License-Identifier: Apache-2.0

// Command kube is every Kubernetes program the lab runs, in one static binary:
// argv[0], or the first argument, says which. One link instead of five saves
// 500 MB of disk and four of the five linker runs.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name == "kube" && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}

	var c *cobra.Command
	switch name {
	case "kube-apiserver":
		c = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		c = kcm.NewControllerManagerCommand()
	case "kube-scheduler":
		c = scheduler.NewSchedulerCommand()
	case "kubelet":
		c = made(kubelet.NewKubeletCommand)
	case "kubectl":
		c = kubectl.NewDefaultKubectlCommand()
	default:
		fmt.Fprintln(os.Stderr, "unknown", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(c))
}

// made calls a constructor that takes a context from some Kubernetes on, and none before.
func made(constructor any) *cobra.Command {
	if with, ok := constructor.(func(context.Context) *cobra.Command); ok {
		return with(context.Background())
	}
	return constructor.(func() *cobra.Command)()
}
