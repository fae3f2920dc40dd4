// Command receiver stands in for Pyroscope in the end-to-end tests: it takes
// push.v1 requests through the official API module, enforces the server's
// default limits, checks every profile with google/pprof and answers, as plain
// JSON below /api/, what it got. Errors are the tree that Pyroscope's
// distributor returns, put on the wire by connect itself, because what connect
// leaves out of it (the ids) is what the operator has to cope with.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"

	"pyroscope-operator.dev/e2e/testbed/internal/announce"
)

type options struct {
	listen   string
	auth     auth
	keep     int
	data     string
	maxBytes int
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 chooses one")
	flag.StringVar(&o.auth.basic, "basic-auth", "", "user:password that pushes must carry")
	flag.StringVar(&o.auth.bearer, "bearer", "", "token that pushes must carry")
	flag.StringVar(&o.auth.tenant, "require-tenant", "", "X-Scope-OrgID that pushes must carry")
	flag.IntVar(&o.keep, "keep", 20_000, "how many profiles to keep, with their bodies")
	flag.StringVar(&o.data, "data", "", "file that keeps accepted profiles, for the next process, too; default: none")
	flag.IntVar(&o.maxBytes, "max-bytes", 0, "uncompressed bytes of all profiles of one request, at most; 0: no limit")
	flag.Parse()
	if flag.NArg() > 0 || o.keep < 1 {
		log.Fatal("unexpected arguments, or --keep below 1")
	}
	return o
}

// newHandler serves pushes, which a fault may hit, and the query API.
func newHandler(o options) (http.Handler, error) {
	kept := newStore(o.keep)
	if o.data != "" {
		if err := kept.restore(o.data); err != nil {
			return nil, err
		}
	}
	broken := &faults{}
	log := &attempts{}
	push := &pusher{auth: o.auth, limits: defaultLimits(o.maxBytes), store: kept, faults: broken}
	mux := http.NewServeMux()
	path, handler := pushv1connect.NewPusherServiceHandler(push, connect.WithReadMaxBytes(maxMessageBytes))
	mux.Handle(path, broken.wrap(handler, kept, log))
	(&api{store: kept, faults: broken, attempts: log}).register(mux)
	return mux, nil
}

func main() {
	o := parseFlags()
	announce.ExitOnSignal()
	handler, err := newHandler(o)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		log.Fatal(err)
	}
	if err := announce.Listening(os.Stdout, l); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(l))
}
