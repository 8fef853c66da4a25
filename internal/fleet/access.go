package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// The prefixes make secrets recognisable to people and to secret scanners.
	tokenPrefix     = "sntl_"
	enrolmentPrefix = "snte_"
	sessionPrefix   = "snts_"
	setupPrefix     = "sntu_"

	sessionLife = 7 * 24 * time.Hour // whatever use is made of it; postgres.SessionIdle without any
	setupLife   = time.Hour
)

// newSecret returns 256 random bits behind a prefix.
func newSecret(prefix string) string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return prefix + base64.RawURLEncoding.EncodeToString(raw)
}

// hashSecret is SHA-256: a secret has 256 random bits, so nothing slower is needed,
// and a look-up by the hash tells nothing by its time.
func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// plausible says whether it is worth asking the database.
func plausible(secret, prefix string) bool {
	return strings.HasPrefix(secret, prefix) && len(secret) <= 128
}

func checkRole(role postgres.Role) error {
	if role != postgres.Viewer && role != postgres.Operator && role != postgres.Admin {
		return sentinel.Errorf(sentinel.Invalid, "role %.40q is not known, want %s, %s or %s", role, postgres.Viewer, postgres.Operator, postgres.Admin)
	}
	return nil
}

// CreateToken makes an API token from the console; see IssueToken.
func (r *Registry) CreateToken(ctx context.Context, name string, role postgres.Role, ttl time.Duration) (string, error) {
	text, _, err := r.IssueToken(ctx, Console("token.create"), name, role, ttl)
	return text, err
}

// Console is the entry of what somebody does who has access to the database itself.
func Console(action string) postgres.Entry {
	return postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole, Name: "console", Role: postgres.Admin}, Action: action}
}

// IssueToken makes an API token and returns it, the only time that it is shown; the
// database keeps its hash. A zero ttl means that it does not expire. The error is
// Invalid for an unknown role, a negative ttl or a name that says nothing.
func (r *Registry) IssueToken(ctx context.Context, by postgres.Entry, name string, role postgres.Role, ttl time.Duration) (string, postgres.Token, error) {
	err := checkRole(role)
	switch {
	case err != nil:
		return "", postgres.Token{}, err
	case ttl < 0:
		return "", postgres.Token{}, sentinel.Errorf(sentinel.Invalid, "ttl: %s has passed already; 0 means that the token does not expire", ttl)
	}
	if err := checkName(name); err != nil {
		return "", postgres.Token{}, err
	}
	var expires time.Time
	if ttl > 0 {
		expires = time.Now().Add(ttl)
	}
	token := newSecret(tokenPrefix)
	by.Details = map[string]any{"name": name, "role": role, "ttl": ttl.String()}
	row, err := r.db.CreateToken(ctx, by, name, role, hashSecret(token), expires)
	if err != nil {
		return "", postgres.Token{}, fmt.Errorf("create token: %w", err)
	}
	return token, row, nil
}

// Authenticate returns whose token it is. Every token that is not valid, for
// whatever reason, gets the same Unauthenticated error.
func (r *Registry) Authenticate(ctx context.Context, token string) (postgres.Actor, error) {
	if !plausible(token, tokenPrefix) {
		return postgres.Actor{}, errToken()
	}
	t, err := r.db.TokenByHash(ctx, hashSecret(token))
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return postgres.Actor{}, errToken()
	}
	if err != nil {
		return postgres.Actor{}, fmt.Errorf("authenticate: %w", err)
	}
	return postgres.Actor{Kind: postgres.ActorToken, ID: t.ID, Name: fmt.Sprintf("%d %s", t.ID, t.Name), Role: t.Role, Expires: t.ExpiresAt}, nil
}

func errToken() error {
	return sentinel.Errorf(sentinel.Unauthenticated, "the token is not valid; `sentinel-server token create` makes one")
}

// Session returns who signed in with this cookie. Every cookie that is not valid
// gets the same Unauthenticated error.
func (r *Registry) Session(ctx context.Context, cookie string) (postgres.Actor, error) {
	unknown := sentinel.Errorf(sentinel.Unauthenticated, "the session has ended; sign in again")
	if !plausible(cookie, sessionPrefix) {
		return postgres.Actor{}, unknown
	}
	a, err := r.db.SessionByHash(ctx, hashSecret(cookie))
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return postgres.Actor{}, unknown
	}
	if err != nil {
		return postgres.Actor{}, fmt.Errorf("look up a session: %w", err)
	}
	return a, nil
}

// Login begins a session for a user who knows the password, in place of the one
// that the cookie before names, and returns the new cookie. An unknown user, a wrong
// password and a disabled user get the same Unauthenticated error after the same
// work. Too many failures are ResourceExhausted and hold a Throttled. Both outcomes of a
// password that was looked at are in the audit log.
func (r *Registry) Login(ctx context.Context, by postgres.Entry, name, password, before string) (cookie string, who postgres.Actor, err error) {
	name = strings.ToLower(name)
	known := checkUserName(name) == nil
	attempt, err := r.logins.begin(name, by.Remote)
	if err != nil {
		return "", who, err
	}
	var u postgres.User
	if known {
		u, err = r.db.UserByName(ctx, name)
		if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
			attempt.forget()
			return "", who, fmt.Errorf("log in: %w", err)
		}
		known = err == nil
	}
	good, err := r.hasher.verify(ctx, u.Password, password)
	if err != nil {
		attempt.forget()
		return "", who, err
	}
	if good && known && u.DisabledAt.IsZero() {
		cookie = newSecret(sessionPrefix)
		who = postgres.Actor{Kind: postgres.ActorUser, ID: u.ID, Name: u.Name, Role: u.Role, Expires: time.Now().Add(sessionLife)}
		by.Actor, by.Action, by.Target = who, "session.login", u.Name
		err = r.db.CreateSession(ctx, by, u, hashSecret(cookie), hashSecret(before), who.Expires)
		if err == nil {
			attempt.succeed()
			return cookie, who, nil
		}
		if sentinel.CodeOf(err) != sentinel.NotFound { // changed meanwhile: as if it had been before
			attempt.forget()
			return "", who, fmt.Errorf("log in: %w", err)
		}
	}
	by.Actor, by.Action = postgres.Actor{Kind: postgres.ActorNobody, Name: "nobody"}, "session.refused"
	if known { // people type passwords in the wrong field: only names that exist are kept
		by.Target = u.Name
	}
	if err := r.db.Audit(ctx, by); err != nil {
		return "", postgres.Actor{}, fmt.Errorf("log in: %w", err)
	}
	return "", postgres.Actor{}, errLogin()
}

func errLogin() error {
	return sentinel.Errorf(sentinel.Unauthenticated, "user or password is wrong, or the user is disabled")
}

// Logout ends a session.
func (r *Registry) Logout(ctx context.Context, by postgres.Entry, cookie string) error {
	return r.db.EndSession(ctx, by, hashSecret(cookie))
}

var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

func checkUserName(name string) error {
	if !userName.MatchString(name) {
		return sentinel.Errorf(sentinel.Invalid, "user name: want up to 64 of a-z, 0-9, and . _ @ + - after the first")
	}
	return nil
}

// CreateUser makes a user. The error is Invalid for a bad name, role or password
// and Conflict where the name is taken.
func (r *Registry) CreateUser(ctx context.Context, by postgres.Entry, name, password string, role postgres.Role) (postgres.User, error) {
	name = strings.ToLower(name)
	if err := checkUserName(name); err != nil {
		return postgres.User{}, err
	}
	if err := checkRole(role); err != nil {
		return postgres.User{}, err
	}
	phc, err := r.hasher.hash(ctx, password)
	if err != nil {
		return postgres.User{}, err
	}
	by.Target, by.Details = name, map[string]any{"role": role}
	u, err := r.db.CreateUser(ctx, by, name, phc, role)
	if err != nil && sentinel.CodeOf(err) == sentinel.Conflict {
		return u, sentinel.Errorf(sentinel.Conflict, "user %s exists already", name)
	}
	return u, err
}

// ChangeUser changes a user on an administrator's behalf; sessions end as
// postgres.DB.ChangeUser says.
func (r *Registry) ChangeUser(ctx context.Context, by postgres.Entry, u postgres.User, role postgres.Role, disabled *bool, password string) (postgres.User, error) {
	ch := postgres.UserChange{Role: role, Disabled: disabled}
	by.Target, by.Details = u.Name, map[string]any{}
	if role != "" {
		if err := checkRole(role); err != nil {
			return postgres.User{}, err
		}
		by.Details["role"] = role
	}
	if disabled != nil {
		by.Details["disabled"] = *disabled
	}
	if password != "" {
		var err error
		if ch.Password, err = r.hasher.hash(ctx, password); err != nil {
			return postgres.User{}, err
		}
		by.Details["password"] = "set"
	}
	return r.db.ChangeUser(ctx, by, u.ID, ch)
}

// ChangePassword changes the password of a user who knows the old one, and ends all
// their sessions. A wrong old password is Forbidden and counts as a failed login.
func (r *Registry) ChangePassword(ctx context.Context, by postgres.Entry, name, old, password string) error {
	attempt, err := r.logins.begin(name, by.Remote)
	if err != nil {
		return err
	}
	if err := checkPassword(password); err != nil {
		attempt.forget()
		return err
	}
	u, err := r.db.UserByName(ctx, name)
	if err != nil {
		attempt.forget()
		return fmt.Errorf("change password: %w", err)
	}
	good, err := r.hasher.verify(ctx, u.Password, old)
	if err != nil {
		attempt.forget()
		return err
	}
	by.Target = name
	if !good {
		by.Action = "session.refused"
		if err := r.db.Audit(ctx, by); err != nil {
			return fmt.Errorf("change password: %w", err)
		}
		return sentinel.Errorf(sentinel.Forbidden, "the old password is wrong")
	}
	attempt.succeed()
	phc, err := r.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = r.db.ChangeUser(ctx, by, u.ID, postgres.UserChange{Password: phc, OldPassword: u.Password})
	return err
}

// CreateSetupToken makes a token that makes the first user, within an hour and
// once. Where there is a user it is a Conflict.
func (r *Registry) CreateSetupToken(ctx context.Context) (string, error) {
	token := newSecret(setupPrefix)
	err := r.db.CreateSetupToken(ctx, Console("setup.create"), hashSecret(token), time.Now().Add(setupLife))
	if err != nil {
		return "", err
	}
	return token, nil
}

// Setup makes the first user, an administrator, for a setup token. Of many who try
// at once exactly one succeeds; everybody else gets the same Unauthenticated error.
func (r *Registry) Setup(ctx context.Context, by postgres.Entry, token, name, password string) (postgres.User, error) {
	refused := sentinel.Errorf(sentinel.Unauthenticated, "the setup token is not valid: it serves once, within an hour, where there is no user yet; `sentinel-server setup-token` makes one")
	if !plausible(token, setupPrefix) {
		return postgres.User{}, refused
	}
	// Before the costly hash, so that only who holds a token causes it.
	if ok, err := r.db.SetupTokenValid(ctx, hashSecret(token)); err != nil || !ok {
		if err != nil {
			return postgres.User{}, fmt.Errorf("set up: %w", err)
		}
		return postgres.User{}, refused
	}
	name = strings.ToLower(name)
	if err := checkUserName(name); err != nil {
		return postgres.User{}, err
	}
	phc, err := r.hasher.hash(ctx, password)
	if err != nil {
		return postgres.User{}, err
	}
	by.Actor = postgres.Actor{Kind: postgres.ActorUser, Name: name}
	by.Target = name
	u, err := r.db.Setup(ctx, by, hashSecret(token), name, phc)
	if code := sentinel.CodeOf(err); err != nil && (code == sentinel.NotFound || code == sentinel.Conflict) {
		return u, refused
	}
	return u, err
}
