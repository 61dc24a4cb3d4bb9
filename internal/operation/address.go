package operation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// AddressCheck is one thing that was looked at of our public address.
type AddressCheck struct {
	What    string // "It is an HTTPS address"
	Problem string // why not, "" if all is well
	Hint    string // what to do about it
	Warning bool   // machines may get along with it
}

// addressTime is how long the address may take to answer.
const addressTime = 8 * time.Second

// CheckAddress looks, from here, whether our public address answers as machines need it: /healthz, and /config, from
// which they fetch their configs. What is between the machines and us it cannot know. It ends at the first thing that
// keeps machines from us.
func (o *Operations) CheckAddress(ctx context.Context) []AddressCheck {
	ctx, cancel := context.WithTimeout(ctx, addressTime)
	defer cancel()
	u, err := url.Parse(o.URL)
	if o.URL == "" || err != nil {
		return []AddressCheck{{
			What: "An address is set", Problem: "setting host (HOST) is empty: machines would not know where to fetch their config",
			Hint: "set HOST to the name under which servers reach this program, or install with delivery push",
		}}
	}
	all := []AddressCheck{{What: "An address is set"}, checkScheme(u)}
	for _, check := range []func(context.Context, *url.URL) AddressCheck{o.checkName, o.checkHealth, o.checkConfig} {
		c := check(ctx, u)
		all = append(all, c)
		if c.Problem != "" && !c.Warning {
			break
		}
	}
	return all
}

func checkScheme(u *url.URL) AddressCheck {
	c := AddressCheck{What: "It is an HTTPS address"}
	if u.Scheme != "https" {
		c.Warning, c.Problem, c.Hint = true, "it is plain HTTP: whoever is on the way reads the configs, and with them the secrets of clusters", "put a proxy with a certificate before it, or set TLS_CERT and TLS_KEY"
	}
	return c
}

// checkName resolves the name. An address of a private network is none that rented servers reach.
func (o *Operations) checkName(ctx context.Context, u *url.URL) AddressCheck {
	c := AddressCheck{What: "Its name has a public IP address"}
	found := []string{u.Hostname()}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && o.Dial == nil { // a dialer of a simulated world knows names itself
		if found, err = net.DefaultResolver.LookupHost(ctx, u.Hostname()); err != nil {
			c.Problem, c.Hint = whyUnreachable(u, err)
			return c
		}
	}
	for _, text := range found {
		if ip, err := netip.ParseAddr(text); err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()) {
			c.Warning, c.Problem, c.Hint = true, text+", which it is from here, is an address of a private network", "servers outside that network do not reach it: give the name a public address, or install with delivery push"
			return c
		}
	}
	c.What += ": " + strings.Join(found, ", ")
	return c
}

func (o *Operations) checkHealth(ctx context.Context, u *url.URL) AddressCheck {
	c := AddressCheck{What: "/healthz answers there"}
	status, body, err := o.get(ctx, http.MethodGet, o.URL+"/healthz")
	switch {
	case err != nil:
		c.Problem, c.Hint = whyUnreachable(u, err)
	case status != http.StatusOK || strings.TrimSpace(body) != "ok":
		c.Problem = somethingElse(status)
		c.Hint = "is it the address of this program? A login page of a proxy before it keeps machines out, too: let /config and /healthz through"
	}
	return c
}

// checkConfig asks as nobody would: with HEAD, which the answer to machines refuses by its own words. So nothing is handed
// out, nothing used up, and no proxy answers the same.
func (o *Operations) checkConfig(ctx context.Context, u *url.URL) AddressCheck {
	c := AddressCheck{What: "/config, where machines fetch their configs, answers there"}
	status, _, err := o.get(ctx, http.MethodHead, o.URL+"/config")
	switch {
	case err != nil:
		c.Problem, c.Hint = whyUnreachable(u, err)
	case status != http.StatusMethodNotAllowed:
		c.Problem = somethingElse(status)
		c.Hint = "a proxy before this program keeps /config back: let it through without a login, it is guarded by one-time codes"
	}
	return c
}

func somethingElse(status int) string {
	return fmt.Sprintf("something else answers: status %d %s", status, http.StatusText(status))
}

// get makes one request, without following a redirect.
func (o *Operations) get(ctx context.Context, method, address string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, "", err
	}
	t := &http.Transport{DialContext: o.Dial, DisableKeepAlives: true}
	if o.Dial == nil {
		t.Proxy = http.ProxyFromEnvironment
	}
	defer t.CloseIdleConnections()
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return resp.StatusCode, string(text), err
}

// whyUnreachable says in a person's words why nothing answered, and what to do.
func whyUnreachable(u *url.URL, err error) (why, hint string) {
	var named x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	why = err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		why = inner.Error() // without method and address, which are said already
	}
	switch {
	case errors.As(err, &named):
		return why, "its certificate is for another name: give the proxy one for " + u.Hostname()
	case errors.As(err, &unknown):
		return why, "its certificate is signed by nobody that Talos trusts either: use one of a public authority"
	case errors.As(err, &invalid):
		return why, "its certificate is not valid now: renew it, and look at the clocks"
	case errors.As(err, &dns):
		return why, "DNS does not know " + u.Hostname() + ": create the record, or correct HOST"
	case errors.Is(err, syscall.ECONNREFUSED):
		return why, "nothing listens there: is the proxy up, and the port right?"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer within " + addressTime.String(), "a firewall drops packets on the way; some networks do not let a program call its own public address, while others reach it well"
	}
	return why, fleet.HintOf(err)
}
