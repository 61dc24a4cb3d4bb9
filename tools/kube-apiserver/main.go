// Command kube-apiserver is a real Kubernetes API with its own etcd in one process, for tests that must not believe
// the simulator alone. It is for tests: etcd listens on the loopback address without TLS, and nothing is kept.
//
//	kube-apiserver DIR
//
// DIR holds ca.crt (who may come), server.crt, server.key and accounts.key, and takes etcd's data. The first line on
// stdout is the URL; the API is ready some seconds later, when /readyz says so. It ends when stdin does, so that it
// never outlives a test that was killed. Or kill it: it has nothing to lose.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kube-apiserver DIR")
		os.Exit(2)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	dir := os.Args[1]
	etcd, err := startEtcd(dir)
	if err == nil {
		err = serve(dir, etcd)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// startEtcd starts a member without peers and gives the URL for clients.
func startEtcd(dir string) (string, error) {
	client, err := freeURL()
	if err != nil {
		return "", err
	}
	peer, err := freeURL()
	if err != nil {
		return "", err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = "test", filepath.Join(dir, "etcd")
	c.LogLevel, c.LogOutputs = "error", []string{"stderr"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.UnsafeNoFsync = true // a test's data need not survive
	e, err := embed.StartEtcd(c)
	if err != nil {
		return "", fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return client.String(), nil
	case <-time.After(time.Minute):
		return "", errors.New("start etcd: not ready after a minute")
	}
}

// serve runs kube-apiserver until it fails. As on Talos nobody comes without a certificate.
func serve(dir, etcd string) error {
	u, err := freeURL()
	if err != nil {
		return err
	}
	u.Scheme = "https"
	fmt.Println(u)
	in := func(name string) string { return filepath.Join(dir, name) }
	cmd := app.NewAPIServerCommand()
	cmd.SetArgs([]string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--secure-port=" + u.Port(), "--cert-dir=" + dir,
		"--tls-cert-file=" + in("server.crt"), "--tls-private-key-file=" + in("server.key"),
		"--client-ca-file=" + in("ca.crt"), "--anonymous-auth=false",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--disable-admission-plugins=ServiceAccount",
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/12",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + in("accounts.key"), "--service-account-signing-key-file=" + in("accounts.key"),
	})
	return fmt.Errorf("kube-apiserver ended with code %d", cli.Run(cmd))
}

// freeURL finds a port of the loopback address that nobody uses now.
func freeURL() (*url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}
