package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	oautherrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"
)

// scopes are all that a client may ask for.
var scopes = []string{"profiles", "push"}

// tokens is a real OAuth2 server for the client-credentials grant.
type tokens struct {
	credentials *credentials
	server      *server.Server
	manager     *manage.Manager
	live        *liveTokens

	mu   sync.Mutex
	life time.Duration
}

func newTokens(c *credentials, life time.Duration) (*tokens, error) {
	kept, err := store.NewMemoryTokenStore()
	if err != nil {
		return nil, err
	}
	t := &tokens{credentials: c, manager: manage.NewDefaultManager(), live: &liveTokens{TokenStore: kept}, life: life}
	t.manager.MapTokenStorage(t.live)
	t.manager.MapClientStorage(t)
	t.server = server.NewServer(server.NewConfig(), t.manager)
	t.server.SetAllowedGrantType(oauth2.ClientCredentials)
	t.server.SetClientInfoHandler(clientOf)
	t.server.SetClientScopeHandler(func(request *oauth2.TokenGenerateRequest) (bool, error) {
		for scope := range strings.FieldsSeq(request.Scope) {
			if !slices.Contains(scopes, scope) {
				return false, nil
			}
		}
		return true, nil
	})
	return t, nil
}

// clientOf takes the client from the Authorization header, where both parts are
// form-encoded (RFC 6749, 2.3.1), or from the form.
func clientOf(r *http.Request) (id, secret string, err error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return server.ClientFormHandler(r)
	}
	if id, err = url.QueryUnescape(user); err == nil {
		secret, err = url.QueryUnescape(password)
	}
	if err != nil {
		return "", "", oautherrors.ErrInvalidClient
	}
	return id, secret, nil
}

// ServeHTTP gives a token. The parameter `life`, a duration, is for tests that share the server
// with others: it goes before what was configured.
func (t *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	life := t.life
	if wanted, err := time.ParseDuration(r.PostFormValue("life")); err == nil {
		life = wanted
	}
	t.manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: life})
	_ = t.server.HandleTokenRequest(w, r) // it has answered
}

// guard lets in who has a token that is alive.
func (t *tokens) guard(r *http.Request) int {
	if _, err := t.server.ValidationBearerToken(r); err != nil {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// configure changes how long tokens that are given from now on live.
func (t *tokens) configure(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Seconds float64 `json:"lifeSeconds"`
	}
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil || wanted.Seconds <= 0 {
		http.Error(w, "lifeSeconds must be above 0", http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life = time.Duration(wanted.Seconds * float64(time.Second))
}

// revoke ends all tokens.
func (t *tokens) revoke(w http.ResponseWriter, r *http.Request) {
	answerJSON(w, map[string]int{"revoked": t.live.clear(r.Context())})
}

// GetByID makes tokens the store of clients: an id may have several secrets for a while.
func (t *tokens) GetByID(_ context.Context, id string) (oauth2.ClientInfo, error) {
	var secrets []string
	for _, pair := range t.credentials.current().Client {
		if known, secret, _ := strings.Cut(pair, ":"); known == id {
			secrets = append(secrets, secret)
		}
	}
	if secrets == nil {
		return nil, oautherrors.ErrInvalidClient
	}
	return client{id, secrets}, nil
}

type client struct {
	id      string
	secrets []string
}

func (c client) GetID() string                     { return c.id }
func (c client) GetSecret() string                 { return "" }
func (c client) GetDomain() string                 { return "" }
func (c client) IsPublic() bool                    { return false }
func (c client) GetUserID() string                 { return "" }
func (c client) VerifyPassword(secret string) bool { return slices.Contains(c.secrets, secret) }

// liveTokens knows what it has given, to take it back.
type liveTokens struct {
	oauth2.TokenStore
	mu    sync.Mutex
	given []string
}

func (l *liveTokens) Create(ctx context.Context, info oauth2.TokenInfo) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given = append(l.given, info.GetAccess())
	return l.TokenStore.Create(ctx, info)
}

func (l *liveTokens) clear(ctx context.Context) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := len(l.given)
	for _, access := range l.given {
		_ = l.RemoveByAccess(ctx, access) // one that has ended is gone
	}
	l.given = nil
	return count
}
