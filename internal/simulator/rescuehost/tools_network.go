package rescuehost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func networkTools() map[string]tool {
	return map[string]tool{"curl": toolCurl, "wget": toolWget, "ping": toolPing}
}

// dial connects from the machine: to the world, or to what lies outside of it.
func (h *Host) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if h.w.Net.Knows(addr) || h.opt.Outside == nil && isAddress(addr) {
		return h.w.Net.Dialer(h.source(addr))(ctx, network, addr)
	}
	if h.opt.Outside == nil {
		host, _, _ := net.SplitHostPort(addr)
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return h.opt.Outside(ctx, network, addr)
}

func isAddress(addr string) bool {
	_, err := netip.ParseAddrPort(addr)
	return err == nil
}

// source is the address that the machine connects from: of the family it connects to, IPv4 first.
func (h *Host) source(addr string) netip.Addr {
	ap, err := netip.ParseAddrPort(addr)
	six := err == nil && ap.Addr().Is6() || !h.m.IPv4.IsValid()
	if six && h.m.IPv6Net.IsValid() {
		return h.m.IPv6Net.Addr().Next().Next()
	}
	return h.m.IPv4
}

// transfer is one run of curl or wget.
type transfer struct {
	c                                   *call
	urls                                []string
	fail, silent, showErrors, follow    bool
	head, include, insecure, remoteName bool
	output, span, method, body, format  string
	headers                             []string
	user                                string
	retries                             int
	retryAll                            bool
	limit, connect                      time.Duration
	stall                               time.Duration // for so long nothing may come
	resume                              int64         // where a transfer goes on, 0: at the beginning
	dump                                string        // file for the headers
	status                              int           // of the last answer
	got                                 int64         // bytes of the last body
}

func toolCurl(c *call) int {
	opts, rest, err := getopt(c.args, "fsSLo:OIr:H:X:d:w:ki46C:D:u:A:m:vgJRG#", "continue-at=", "dump-header=", "fail", "silent", "show-error", "location", "output=", "remote-name", "head", "range=", "header=",
		"request=", "data=", "data-binary=", "data-raw=", "write-out=", "insecure", "include", "retry=", "retry-delay=", "retry-max-time=", "retry-all-errors", "retry-connrefused",
		"max-time=", "connect-timeout=", "ipv4", "ipv6", "fail-with-body", "no-progress-meter", "user=", "user-agent=", "compressed", "speed-limit=", "speed-time=", "url=",
		"http1.1", "tcp-nodelay", "no-buffer", "limit-rate=", "create-dirs", "proto=", "tlsv1.2", "globoff", "progress-bar", "verbose")
	if err != nil {
		return c.fail(2, "option %v", err)
	}
	t := &transfer{c: c, urls: rest, connect: 5 * time.Minute}
	for _, o := range opts {
		if err := t.option(o); err != nil {
			return c.fail(2, "option --%s: %v", o.name, err)
		}
	}
	if len(t.urls) == 0 {
		return c.fail(2, "no URL specified")
	}
	for _, u := range t.urls {
		if status := t.curl(u); status != 0 {
			return status
		}
	}
	return 0
}

func (t *transfer) option(o option) (err error) {
	switch o.name {
	case "f", "fail", "fail-with-body":
		t.fail = true
	case "s", "silent":
		t.silent = true
	case "S", "show-error":
		t.showErrors = true
	case "L", "location":
		t.follow = true
	case "o", "output":
		t.output = o.value
	case "O", "remote-name":
		t.remoteName = true
	case "I", "head":
		t.head = true
	case "i", "include":
		t.include = true
	case "r", "range":
		t.span = o.value
	case "C", "continue-at":
		t.resume, err = strconv.ParseInt(o.value, 10, 64)
	case "D", "dump-header":
		t.dump = o.value
	case "speed-time":
		t.stall, err = seconds(o.value)
	case "H", "header":
		t.headers = append(t.headers, o.value)
	case "X", "request":
		t.method = o.value
	case "d", "data", "data-binary", "data-raw":
		t.body += o.value
		if t.method == "" {
			t.method = http.MethodPost
		}
	case "w", "write-out":
		t.format = o.value
	case "k", "insecure":
		t.insecure = true
	case "u", "user":
		t.user = o.value
	case "url":
		t.urls = append(t.urls, o.value)
	case "retry":
		t.retries, err = strconv.Atoi(o.value)
	case "retry-all-errors", "retry-connrefused":
		t.retryAll = true
	case "m", "max-time":
		t.limit, err = seconds(o.value)
	case "connect-timeout":
		t.connect, err = seconds(o.value)
	}
	return err
}

// failure is an exit status of curl with its text.
type failure struct {
	status int
	text   string
	retry  bool
}

// curl fetches one URL, again after a transient failure.
func (t *transfer) curl(u string) int {
	wait := time.Second
	for try := 0; ; try++ {
		t.status, t.got = 0, 0
		f := t.once(u)
		t.writeOut(u)
		if f.status != 0 && try < t.retries && (f.retry || t.retryAll) && t.c.h.pause(t.c.ctx(), wait) {
			wait *= 2
			continue
		}
		if f.status != 0 && (!t.silent || t.showErrors) {
			fmt.Fprintf(t.c.err, "curl: (%d) %s\n", f.status, f.text)
		}
		return f.status
	}
}

func (t *transfer) once(u string) failure {
	ctx, cancel := context.WithCancel(t.c.ctx())
	defer cancel()
	if t.limit > 0 {
		timer := time.AfterFunc(t.c.h.limit(t.limit), cancel)
		defer timer.Stop()
	}
	res, f := t.ask(ctx, u)
	if f.status != 0 {
		return f
	}
	defer res.Body.Close()
	t.status = res.StatusCode
	if f := t.dumpHeaders(res); f.status != 0 {
		return f
	}
	if t.fail && res.StatusCode >= 400 {
		transient := res.StatusCode == 408 || res.StatusCode == 429 || res.StatusCode >= 500 && res.StatusCode <= 504
		return failure{22, fmt.Sprintf("The requested URL returned error: %d", res.StatusCode), transient}
	}
	if f := t.goesOn(res); f.status != 0 {
		return f
	}
	w, f := t.target(u)
	if f.status != 0 {
		return f
	}
	if c, ok := w.(io.Closer); ok && w != t.c.out {
		defer c.Close()
	}
	if t.head || t.include {
		fmt.Fprintf(w, "%s %s\r\n", res.Proto, res.Status)
		_ = res.Header.Write(w)
		fmt.Fprint(w, "\r\n")
	}
	counted := &counting{Writer: w}
	body, stalled := t.watched(res.Body, cancel)
	n, err := io.CopyBuffer(struct{ io.Writer }{counted}, struct{ io.Reader }{body}, make([]byte, 256<<10))
	t.got = n
	switch {
	case stalled():
		return failure{28, fmt.Sprintf("Operation too slow. Less than 1000 bytes/sec transferred the last %d seconds", int(t.stall.Seconds())), true}
	case counted.err != nil:
		return failure{23, "Failure writing output to destination", false}
	case ctx.Err() != nil:
		return failure{28, fmt.Sprintf("Operation timed out after %d milliseconds with %d bytes received", t.limit.Milliseconds(), n), true}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failure{18, fmt.Sprintf("transfer closed with %d bytes remaining to read", res.ContentLength-n), false}
	case err != nil:
		return failure{56, "Recv failure: Connection reset by peer", false}
	}
	return failure{}
}

// target is where the body goes.
func (t *transfer) target(u string) (io.Writer, failure) {
	name := t.output
	if t.remoteName {
		parsed, _ := url.Parse(u)
		name = path.Base(parsed.Path)
	}
	if name == "" || name == "-" {
		return t.c.out, failure{}
	}
	w, err := t.c.create(name, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, failure{23, fmt.Sprintf("Failure writing output to destination: %s", why(name, err)), false}
	}
	return w, failure{}
}

func (t *transfer) ask(ctx context.Context, u string) (*http.Response, failure) {
	if !strings.Contains(u, "://") {
		u = "http://" + u
	}
	method := t.method
	if t.head {
		method = http.MethodHead
	}
	req, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(t.body))
	if err != nil {
		return nil, failure{3, "URL rejected: Malformed input to a URL function", false}
	}
	req.Header.Set("User-Agent", "curl/7.88.1")
	req.Header.Set("Accept", "*/*")
	if t.span != "" {
		req.Header.Set("Range", "bytes="+t.span)
	}
	if t.resume > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.resume))
	}
	if t.body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range t.headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	if user, password, ok := strings.Cut(t.user, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	res, err := t.client().Do(req)
	if err != nil {
		return nil, t.explain(ctx, req, err)
	}
	return res, failure{}
}

func (t *transfer) client() *http.Client {
	h := t.c.h
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: t.insecure, RootCAs: h.opt.RootCAs},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			wait := max(h.w.Real(t.connect), 250*time.Millisecond)
			if !isAddress(addr) {
				wait = max(wait, 20*time.Second) // a service of the world is there; only this machine may be busy
			}
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			return h.dial(ctx, network, addr)
		},
	}
	client := &http.Client{Transport: transport}
	if !t.follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client
}

// explain turns an error into curl's words.
func (t *transfer) explain(ctx context.Context, req *http.Request, err error) failure {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var netErr net.Error
	host, port := req.URL.Hostname(), req.URL.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[req.URL.Scheme]
	}
	if port == "" {
		port = "80"
	}
	switch {
	case errors.As(err, &dns):
		return failure{6, "Could not resolve host: " + host, false}
	case errors.As(err, &certificate):
		return failure{60, "SSL certificate problem: unable to get local issuer certificate", false}
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure{7, fmt.Sprintf("Failed to connect to %s port %s after 0 ms: Couldn't connect to server", host, port), false}
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return failure{28, fmt.Sprintf("Failed to connect to %s port %s: Connection timed out", host, port), true}
	case strings.Contains(err.Error(), "EOF"):
		return failure{52, "Empty reply from server", false}
	}
	return failure{56, err.Error(), false}
}

func toolWget(c *call) int {
	opts, rest, err := getopt(c.args, "qO:t:T:cSNnv", "quiet", "output-document=", "tries=", "timeout=", "no-check-certificate", "show-progress", "spider", "header=", "no-verbose", "progress=", "continue")
	if err != nil || len(rest) == 0 {
		return c.fail(2, "missing URL")
	}
	t := &transfer{c: c, fail: true, follow: true, silent: true, remoteName: true, connect: 5 * time.Minute}
	quiet := false
	for _, o := range opts {
		switch o.name {
		case "q", "quiet":
			quiet = true
		case "O", "output-document":
			t.output, t.remoteName = o.value, false
		case "T", "timeout":
			t.connect, _ = seconds(o.value)
		case "no-check-certificate":
			t.insecure = true
		case "spider":
			t.head = true
			t.output, t.remoteName = "/dev/null", false
		case "header":
			t.headers = append(t.headers, o.value)
		}
	}
	for _, u := range rest {
		f := t.once(u)
		if f.status == 0 {
			continue
		}
		if !quiet {
			fmt.Fprintf(c.err, "ERROR: %s\n", f.text)
		}
		switch f.status {
		case 22:
			return 8
		case 23:
			return 3
		case 60:
			return 5
		}
		return 4
	}
	return 0
}

// toolPing says whether somebody's system is up.
func toolPing(c *call) int {
	_, rest, err := getopt(c.args, "c:W:w:qn46i:")
	if err != nil || len(rest) != 1 {
		return c.fail(2, "usage error: Destination address required")
	}
	ip, err := netip.ParseAddr(rest[0])
	if err != nil {
		return c.fail(2, "%s: Name or service not known", rest[0])
	}
	ctx, cancel := context.WithTimeout(c.ctx(), c.h.w.Real(time.Second)+50*time.Millisecond)
	defer cancel()
	conn, err := c.h.dial(ctx, "tcp", netip.AddrPortFrom(ip, 7).String())
	if err == nil {
		_ = conn.Close()
	}
	if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		c.printf("1 packets transmitted, 1 received, 0%% packet loss\n")
		return 0
	}
	c.printf("1 packets transmitted, 0 received, 100%% packet loss\n")
	return 1
}
