package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"google.golang.org/protobuf/proto"
)

func request(t *testing.T) []byte {
	t.Helper()
	label := &typesv1.LabelPair{Name: "a", Value: "b"}
	sample := &pushv1.RawSample{RawProfile: []byte("profile"), ID: "id"}
	encoded, err := proto.Marshal(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{
		{Labels: []*typesv1.LabelPair{label, label}, Samples: []*pushv1.RawSample{sample}},
		{Labels: []*typesv1.LabelPair{label}, Samples: []*pushv1.RawSample{sample, sample}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestPushesAreCounted(t *testing.T) {
	s := newSink()
	server := httptest.NewServer(s.handler())
	defer server.Close()
	for _, body := range [][]byte{request(t), request(t)[:20]} {
		answer, err := http.Post(server.URL+"/push.v1.PusherService/Push", "application/proto", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	found := s.stats()
	if found.Requests != 2 || found.Refused != 1 || found.Series != 2 || found.Profiles != 3 || found.First == 0 {
		t.Errorf("%+v", found)
	}
	if found.Bytes != int64(len(request(t))) {
		t.Errorf("%d bytes", found.Bytes)
	}
}
