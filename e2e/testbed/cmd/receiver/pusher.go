package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
)

// pusher is the push.v1 service.
type pusher struct {
	auth   auth
	limits limits
	store  *store
	faults *faults
}

// series is one profile with its labels: the server turns every sample of a
// series into one, and its error texts count these.
type series struct {
	labels []*typesv1.LabelPair
	raw    *pushv1.RawSample
	parsed *parsed
}

// sender is what a request tells about itself besides its profiles.
type sender struct {
	request   int
	tenant    string
	userAgent string
}

func (p *pusher) Push(
	ctx context.Context, req *connect.Request[pushv1.PushRequest],
) (*connect.Response[pushv1.PushResponse], error) {
	if err := p.auth.check(req.Header()); err != nil {
		p.store.update(func(s *stats) { s.Unauthenticated++ })
		return nil, err
	}
	batch, failures := p.parseAll(ctx, req.Msg)
	if err := p.checkSize(batch); err != nil {
		return nil, err
	}
	from := newSender(ctx, req.Header())
	if err := p.pushAll(ctx, from, batch); err != nil {
		failures = append(failures, err)
	}
	if err := failures.orNil(); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

func newSender(ctx context.Context, header http.Header) sender {
	return sender{
		request:   requestNumber(ctx),
		tenant:    header.Get(tenantHeader),
		userAgent: header.Get("User-Agent"),
	}
}

// parseAll leaves out what cannot be parsed. As in the server, such a failure
// carries neither id nor code, and the series after it get lower indexes.
func (p *pusher) parseAll(ctx context.Context, msg *pushv1.PushRequest) (batch []series, failures multiError) {
	p.store.update(func(s *stats) { s.Series += len(msg.GetSeries()) })
	for _, rawSeries := range msg.GetSeries() {
		labels := labelMap(rawSeries.GetLabels())
		for _, sample := range rawSeries.GetSamples() {
			profile, err := parseProfile(sample.GetRawProfile())
			if err == nil {
				err = p.faults.forSeries(ctx, labels, true)
			}
			if err != nil {
				failures = append(failures, err)
				p.store.reject(rejection{labels, sample.GetID(), err.Error()})
				continue
			}
			batch = append(batch, series{rawSeries.GetLabels(), sample, profile})
		}
	}
	return batch, failures
}

// checkSize refuses a request as a whole; nothing of it is taken.
func (p *pusher) checkSize(batch []series) error {
	total := 0
	for _, s := range batch {
		total += s.parsed.size
	}
	if p.limits.requestBytes == 0 || total <= p.limits.requestBytes {
		return nil
	}
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(
		"%d uncompressed bytes of profiles: exceeds limit of %d", total, p.limits.requestBytes))
}

// pushAll attempts every series and joins what failed.
func (p *pusher) pushAll(ctx context.Context, from sender, batch []series) error {
	if len(batch) == 0 {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the request has no profiles"))
	}
	var failures multiError
	for index, s := range batch {
		err := p.pushOne(ctx, from, s)
		if err == nil {
			continue
		}
		failures = append(failures, fmt.Errorf("push series with index %d and id %s failed: %w", index, s.raw.GetID(), err))
		p.store.reject(rejection{labelMap(s.labels), s.raw.GetID(), err.Error()})
	}
	return failures.orNil()
}

func (p *pusher) pushOne(ctx context.Context, from sender, s series) error {
	labels := labelMap(s.labels)
	if err := p.faults.forSeries(ctx, labels, false); err != nil {
		return err
	}
	if !s.parsed.hasPeriodType {
		// The server dereferences it, panics and reports the panic uncoded.
		return errors.New("panic: the profile has no period type")
	}
	err := p.limits.checkLabels(s.labels)
	if err == nil {
		err = p.limits.checkProfile(s.parsed, time.Now())
	}
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	m := metadata{
		Tenant:    from.tenant,
		Request:   from.request,
		ID:        s.raw.GetID(),
		Labels:    labels,
		UserAgent: from.userAgent,
	}
	s.parsed.describe(&m)
	return p.store.accept(m, s.raw.GetRawProfile())
}
