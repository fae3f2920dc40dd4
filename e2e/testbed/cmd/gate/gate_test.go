package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

const goroutine = "/debug/pprof/goroutine"

// bench is a gate with its folder and admin listener.
type bench struct {
	*testing.T
	*gate
	folder string
	url    string
}

func start(t *testing.T) *bench {
	t.Helper()
	folder := t.TempDir()
	g, err := newGate(options{ip: "127.0.0.1", elsewhere: "127.0.0.99", certs: folder, tokenLife: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.admin())
	t.Cleanup(server.Close)
	b := &bench{t, g, folder, server.URL}
	b.admits(accepted{
		Basic: []string{"me:secret"}, Bearer: []string{"token"}, APIKey: []string{"api"}, Key: []string{"key"},
		Client: []string{"client:s&cret"},
	})
	return b
}

func (b *bench) post(path string, body any) {
	b.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.Post(b.url+path, "application/json", bytes.NewReader(data))
	if err != nil || response.StatusCode != http.StatusOK {
		b.Fatal(path, response, err)
	}
	_ = response.Body.Close()
}

func (b *bench) admits(a accepted) { b.post("/-/credentials", a) }

// trust is a client configuration that knows the gate's authority, and a certificate if one is named.
func (b *bench) trust(certificate string) *tls.Config {
	b.Helper()
	ca, err := os.ReadFile(filepath.Join(b.folder, "ca.crt"))
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}}
	if certificate != "" {
		path := filepath.Join(b.folder, certificate)
		pair, err := tls.LoadX509KeyPair(path+".crt", path+".key")
		if err != nil {
			b.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// handshake says how TLS fails. It sends nothing more: in TLS 1.3 a server refuses our certificate while we are
// talking already, and its reset may overtake the alert.
func (b *bench) handshake(face string, config *tls.Config) error {
	b.Helper()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
	connection, err := dialer.Dial("tcp", b.addresses[face])
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = connection.Read(make([]byte, 1))
	return err
}

// get asks the face once, follows nothing, and reads the answer.
func (b *bench) get(face string, config *tls.Config, header http.Header) (*http.Response, []byte, error) {
	b.Helper()
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: config, ForceAttemptHTTP2: config != nil && len(config.NextProtos) == 2, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * time.Second,
	}
	request, err := http.NewRequest(http.MethodGet, scheme+"://"+b.addresses[face]+goroutine, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

func authorization(value string) http.Header { return http.Header{"Authorization": {value}} }

func TestCredentials(t *testing.T) {
	b := start(t)
	for _, row := range []struct {
		face   string
		header http.Header
		status int
	}{
		{"plain", nil, 200},
		{"elsewhere", nil, 200},
		{"basic", authorization("Basic bWU6c2VjcmV0"), 200},
		{"basic", authorization("Basic bWU6c2VjcmU="), 401},
		{"basic", nil, 401},
		{"bearer", authorization("Bearer token"), 200},
		{"bearer", authorization("Bearer other"), 401},
		{"apikey", authorization("ApiKey api"), 200},
		{"apikey", authorization("Bearer api"), 401},
		{"key", http.Header{"X-Key": {"key"}}, 200},
		{"key", nil, 401},
		{"forbidden", authorization("Bearer token"), 403},
		{"oauth2", authorization("Bearer token"), 401},
		{"token-down", nil, 503},
	} {
		response, body, err := b.get(row.face, nil, row.header)
		if err != nil || response.StatusCode != row.status {
			t.Errorf("%s %v: %v, %v", row.face, row.header, response, err)
		}
		if row.status == 200 {
			if p, err := profile.ParseData(body); err != nil || len(p.Sample) == 0 {
				t.Errorf("%s: no profile: %v", row.face, err)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	b := start(t)
	for _, step := range []struct {
		good []string
		want map[string]int
	}{
		{[]string{"token", "new"}, map[string]int{"token": 200, "new": 200}},
		{[]string{"new"}, map[string]int{"token": 401, "new": 200}},
	} {
		b.post("/-/credentials", map[string]any{"bearer": step.good})
		for token, status := range step.want {
			if response, _, err := b.get("bearer", nil, authorization("Bearer "+token)); err != nil || response.StatusCode != status {
				t.Errorf("%s of %v: %v, %v", token, step.good, response, err)
			}
		}
	}
	if response, _, _ := b.get("key", nil, http.Header{"X-Key": {"key"}}); response.StatusCode != 200 {
		t.Error("what was not named has changed")
	}
}

func TestTLS(t *testing.T) {
	b := start(t)
	at := func(version uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
	}
	onlyOne := func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }
	asIs := func(*tls.Config) {}
	for _, row := range []struct {
		face, certificate string
		change            func(*tls.Config)
		proto             string // of an answer
		err               string // else
	}{
		{"tls", "", asIs, "HTTP/2.0", ""},
		{"tls", "", onlyOne, "HTTP/1.1", ""},
		{"tls", "", func(c *tls.Config) { c.RootCAs = nil }, "", "unknown authority"},
		{"http1", "", asIs, "HTTP/1.1", ""},
		{"h2-only", "", asIs, "HTTP/2.0", ""},
		{"h2-only", "", onlyOne, "", "internal error"},
		{"tls12", "", at(tls.VersionTLS12), "HTTP/2.0", ""},
		{"tls12", "", at(tls.VersionTLS13), "", "protocol version"},
		{"tls13", "", at(tls.VersionTLS13), "HTTP/2.0", ""},
		{"tls13", "", at(tls.VersionTLS12), "", "protocol version"},
		{"mtls", "client", asIs, "HTTP/2.0", ""},
		{"mtls12", "client-2", asIs, "HTTP/2.0", ""},
		{"mtls", "", asIs, "", "certificate required"},
		{"mtls12", "", asIs, "", "handshake failure"},
		{"mtls12", "expired-client", asIs, "", "expired"},
		{"expired", "", asIs, "", "expired"},
		{"wrong-name", "", asIs, "", "doesn't contain any IP SANs"},
		{"wrong-name", "", func(c *tls.Config) { c.ServerName = otherName }, "HTTP/2.0", ""},
		{"unknown-ca", "", asIs, "", "unknown authority"},
	} {
		config := b.trust(row.certificate)
		row.change(config)
		if row.err != "" {
			if err := b.handshake(row.face, config); err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s: %v instead of %q", row.face, err, row.err)
			}
			continue
		}
		if response, _, err := b.get(row.face, config, nil); err != nil || response.Proto != row.proto {
			t.Errorf("%s: %v, %v instead of %s", row.face, response, err, row.proto)
		}
	}
}

// Another authority's certificate isn't even shown by Go's client unless it is forced to.
func TestCertificateOfAnotherAuthority(t *testing.T) {
	b := start(t)
	for _, face := range []string{"mtls", "mtls12"} {
		config := b.trust("other-client")
		pair := config.Certificates[0]
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		if err := b.handshake(face, config); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Errorf("%s: %v", face, err)
		}
	}
}

func TestLog(t *testing.T) {
	b := start(t)
	_, _, _ = b.get("basic", nil, authorization("Basic wrong"))
	_, _, err := b.get("mtls", b.trust("client"), http.Header{"X-Key": {"key"}, "X-Other": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	first, second := b.log("")[0], b.log("mtls")[0]
	if first.Face != "basic" || first.Status != 401 || first.Header["Authorization"] != "Basic wrong" || first.Path != goroutine {
		t.Errorf("%+v", first)
	}
	if second.Client != "client" || second.Proto != "HTTP/2.0" || second.TLS != "TLS13" || second.Header["X-Key"] != "key" ||
		second.Header["X-Other"] != "" || second.Host != b.addresses["mtls"] || second.Seq != 2 {
		t.Errorf("%+v", second)
	}
	response, err := http.Get(b.url + "/-/connections")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var counts map[string]int
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil || counts["mtls"] != 1 || counts["plain"] != 0 {
		t.Error(counts, err)
	}
}

// log waits for an entry: it is written after the answer.
func (b *bench) log(face string) []entry {
	b.Helper()
	for range 100 {
		response, err := http.Get(b.url + "/-/requests?since=0&face=" + face)
		if err != nil {
			b.Fatal(err)
		}
		var found []entry
		err = json.NewDecoder(response.Body).Decode(&found)
		_ = response.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		if len(found) > 0 {
			return found
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("nothing in the log")
	return nil
}

// token asks for one; the answer is the whole JSON object.
func (b *bench) token(face string, config *tls.Config, id, secret string, form url.Values) (int, map[string]any) {
	b.Helper()
	form.Set("grant_type", "client_credentials")
	scheme := map[bool]string{true: "http", false: "https"}[config == nil]
	request, _ := http.NewRequest(http.MethodPost, scheme+"://"+b.addresses[face]+"/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	return response.StatusCode, answer
}

func TestTokens(t *testing.T) {
	b := start(t)
	for _, row := range []struct {
		face, certificate string
		id, secret        string
		form              url.Values
		status            int
		err               string
	}{
		{"token", "", "client", "s&cret", url.Values{"scope": {"profiles push"}, "audience": {"shop"}}, 200, ""},
		{"token", "", "", "", url.Values{"client_id": {"client"}, "client_secret": {"s&cret"}}, 200, ""},
		{"token-tls", "none", "client", "s&cret", url.Values{}, 200, ""},
		{"token-mtls", "client", "client", "s&cret", url.Values{}, 200, ""},
		{"token", "", "client", "wrong", url.Values{}, 401, "invalid_client"},
		{"token", "", "nobody", "s&cret", url.Values{}, 401, "invalid_client"},
		{"token", "", "client", "s&cret", url.Values{"scope": {"admin"}}, 400, "invalid_scope"},
	} {
		var config *tls.Config
		if row.certificate != "" {
			config = b.trust(strings.TrimPrefix(row.certificate, "none"))
		}
		status, answer := b.token(row.face, config, row.id, row.secret, row.form)
		if status != row.status || (row.err != "" && answer["error"] != row.err) {
			t.Errorf("%s as %s: %d %v", row.face, row.id, status, answer)
			continue
		}
		token, _ := answer["access_token"].(string)
		if row.err != "" {
			continue
		}
		if response, _, err := b.get("oauth2", nil, authorization("Bearer "+token)); err != nil || response.StatusCode != 200 {
			t.Errorf("%s: the token %q is worth nothing: %v", row.face, token, response)
		}
	}
	if form := b.log("token")[0].Form; form.Get("audience") != "shop" || form.Get("scope") != "profiles push" {
		t.Error(form)
	}
}

func TestTokensEnd(t *testing.T) {
	b := start(t)
	b.post("/-/tokens", map[string]any{"lifeSeconds": 1})
	_, answer := b.token("token", nil, "client", "s&cret", url.Values{})
	if answer["expires_in"] != 1.0 {
		t.Error(answer)
	}
	short := authorization("Bearer " + answer["access_token"].(string))
	b.post("/-/tokens", map[string]any{"lifeSeconds": 100})
	if _, answer = b.token("token", nil, "client", "s&cret", url.Values{"life": {"7s"}}); answer["expires_in"] != 7.0 {
		t.Error(answer)
	}
	_, answer = b.token("token", nil, "client", "s&cret", url.Values{})
	long := authorization("Bearer " + answer["access_token"].(string))
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		response, _, err := b.get("oauth2", nil, short)
		if err != nil || time.Now().After(end) {
			t.Fatal("it never ends", err)
		}
		if response.StatusCode == 401 {
			break
		}
	}
	if response, _, _ := b.get("oauth2", nil, long); response.StatusCode != 200 {
		t.Error("a long one ended, too")
	}
	b.post("/-/revoke", nil)
	if response, _, _ := b.get("oauth2", nil, long); response.StatusCode != 401 {
		t.Error("it was revoked")
	}
}

func TestRedirects(t *testing.T) {
	b := start(t)
	for face, want := range map[string]struct {
		status int
		to     string
	}{
		"redirect-port":          {307, "http://" + b.addresses["plain"] + goroutine},
		"redirect-elsewhere":     {307, "http://127.0.0.99:"},
		"redirect-elsewhere-308": {308, "http://127.0.0.99:"},
		"redirect-elsewhere-302": {302, "http://127.0.0.99:"},
		"redirect-up":            {307, "https://" + b.addresses["tls"] + goroutine},
		"redirect-down":          {307, "http://" + b.addresses["plain"] + goroutine},
		"redirect-endless":       {307, goroutine},
		"redirect-loopback":      {307, "http://127.0.0.1:9" + goroutine},
	} {
		var config *tls.Config
		if face == "redirect-down" {
			config = b.trust("")
		}
		response, _, err := b.get(face, config, nil)
		if err != nil || response.StatusCode != want.status || !strings.HasPrefix(response.Header.Get("Location"), want.to) {
			t.Errorf("%s: %v, %v", face, response, err)
		}
	}
}

func TestHops(t *testing.T) {
	b := start(t)
	response, err := http.Get("http://" + b.addresses["plain"] + "/hops/3" + goroutine + "?row=1")
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	_ = response.Body.Close()
	if last := response.Request.URL; last.Path != "/hops/0"+goroutine || last.RawQuery != "row=1" {
		t.Error(last)
	}
	if count := len(b.log("plain")); count < 3 {
		t.Errorf("%d requests", count)
	}
}

func TestPushesGoOn(t *testing.T) {
	b := start(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer receiver.Close()
	response, err := http.PostForm(b.url+"/-/upstream", url.Values{"url": {receiver.URL}})
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	request, _ := http.NewRequest(http.MethodPost, "http://"+b.addresses["bearer"]+"/row/push.v1.PusherService/Push", nil)
	request.Header = authorization("Bearer token")
	response, err = http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, _ := io.ReadAll(response.Body); string(body) != "POST /push.v1.PusherService/Push " {
		t.Errorf("%s", body)
	}
}
