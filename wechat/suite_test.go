package wechat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
)

// provider is the API as the corps of a suite see it. Tokens are numbered; only the newest of each is good.
type provider struct {
	mu         sync.Mutex
	ticket     string // the good one
	suiteToken int
	corpTokens map[string]int
	fail       map[string]int // the errcode of all requests to a path; 0: none
	expired    int            // the errcode of calls with an old token

	paths   []string            // of all requests, in order
	tickets []string            // that were sent
	refused int                 // requests that were answered with an errcode
	before  func(*http.Request) // called first, unlocked
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.before != nil {
		p.before(r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paths = append(p.paths, r.URL.Path)
	body, _ := io.ReadAll(r.Body)
	refuse := func(code int) {
		p.refused++
		io.WriteString(w, errcodeReply(code, "refused "+r.URL.RawQuery+" "+string(body)))
	}
	if code := p.fail[r.URL.Path]; code != 0 {
		refuse(code)
		return
	}
	query := r.URL.Query()
	var in struct {
		SuiteID       string `json:"suite_id"`
		SuiteSecret   string `json:"suite_secret"`
		SuiteTicket   string `json:"suite_ticket"`
		AuthCorpID    string `json:"auth_corpid"`
		PermanentCode string `json:"permanent_code"`
	}
	if err := json.Unmarshal(body, &in); err != nil || r.Method != http.MethodPost {
		refuse(40035)
		return
	}
	switch r.URL.Path {
	case suiteTokenPath:
		p.tickets = append(p.tickets, in.SuiteTicket)
		switch {
		case in.SuiteID != "s1" || in.SuiteSecret != canarySecret:
			refuse(40080)
		case in.SuiteTicket != p.ticket:
			refuse(errcodeTicketInvalid)
		default:
			p.suiteToken++
			fmt.Fprintf(w, `{"suite_access_token":"suite-%d","expires_in":7200}`, p.suiteToken)
		}
	case corpTokenPath:
		switch {
		case query.Get("suite_access_token") != fmt.Sprintf("suite-%d", p.suiteToken):
			refuse(errcodeSuiteTokenExpired)
		case in.PermanentCode != canaryCode:
			refuse(40084)
		default:
			p.corpTokens[in.AuthCorpID]++
			fmt.Fprintf(w, `{"access_token":"%s-%d","expires_in":7200}`, in.AuthCorpID, p.corpTokens[in.AuthCorpID])
		}
	case singlePath:
		corp, number, _ := strings.Cut(query.Get("access_token"), "-")
		if number != fmt.Sprint(p.corpTokens[corp]) {
			refuse(p.expired)
			return
		}
		io.WriteString(w, pairReply)
	}
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// expireSuite makes the suite's token and those of its corps worthless.
func (p *provider) expireSuite() {
	p.set(func() {
		p.suiteToken++
		for corp := range p.corpTokens {
			p.corpTokens[corp]++
		}
	})
}

// took returns the paths of the requests since it was last called.
func (p *provider) took() (paths []string) {
	p.set(func() { paths, p.paths = p.paths, nil })
	return paths
}

func count(paths []string, path string) int {
	return len(slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p != path }))
}

// suiteTest is a client of corps of one suite: ww0, ww1 …
type suiteTest struct {
	*Client
	suite      *Suite
	provider   *provider
	ticketFile string
	corps      int
	fetches    fetchCounts
}

func setupSuite(t *testing.T, corps int) *suiteTest {
	t.Helper()
	s := &suiteTest{
		provider:   &provider{ticket: canaryTicket, corpTokens: make(map[string]int), fail: make(map[string]int), expired: errcodeTokenExpired},
		ticketFile: filepath.Join(t.TempDir(), "ticket"), corps: corps,
	}
	writeFile(t, s.ticketFile, canaryTicket+"\n")
	httpClient := inProcess(s.provider.ServeHTTP)
	cfg := Config{Tokens: &s.fetches}
	s.suite = NewSuite(cfg, "s1", canarySecret, TicketFile(s.ticketFile), httpClient)
	list := make([]Corp, corps)
	for i := range list {
		list[i] = Corp{s.id(i), s.suite.Source(s.id(i), canaryCode)}
	}
	c, err := New(cfg, list, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	s.Client = c
	return s
}

func (*suiteTest) id(i int) string { return fmt.Sprintf("ww%d", i) }

func (s *suiteTest) ask(t *testing.T, corp int) error {
	t.Helper()
	_, err := s.CheckSingle(t.Context(), s.id(corp), onePair)
	return err
}

// askAll makes a call for each corp at once; none may fail.
func (s *suiteTest) askAll(t *testing.T) {
	t.Helper()
	var calls sync.WaitGroup
	for i := range s.corps {
		calls.Go(func() {
			if err := s.ask(t, i); err != nil {
				t.Errorf("corp %d: %v", i, err)
			}
		})
	}
	calls.Wait()
}

func TestSuite_AHundredCorpsFetchOneSuiteToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const corps = 100
		s := setupSuite(t, corps)
		release := make(chan struct{})
		s.provider.before = func(r *http.Request) {
			if r.URL.Path == suiteTokenPath {
				<-release
			}
		}
		var calls sync.WaitGroup
		calls.Go(func() { s.askAll(t) })
		synctest.Wait() // for the suite's token, all of them
		close(release)
		calls.Wait()
		took := s.provider.took()
		if a, b, c := count(took, suiteTokenPath), count(took, corpTokenPath), count(took, singlePath); a != 1 || b != corps || c != corps {
			t.Errorf("%d suite tokens, %d corp tokens, %d calls: want 1, %d, %d", a, b, c, corps, corps)
		}
		s.askAll(t)
		if took := s.provider.took(); count(took, singlePath) != len(took) {
			t.Errorf("requests %v: want no other token", took)
		}
	})
}

func TestSuite_FiftyCallsOfACorpFetchOneToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 1)
		release := make(chan struct{})
		s.provider.before = func(r *http.Request) {
			if r.URL.Path == corpTokenPath {
				<-release
			}
		}
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				if err := s.ask(t, 0); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		calls.Wait()
		took := s.provider.took()
		if a, b, c := count(took, suiteTokenPath), count(took, corpTokenPath), count(took, singlePath); a != 1 || b != 1 || c != 50 {
			t.Errorf("%d suite tokens, %d corp tokens, %d calls: want 1, 1, 50", a, b, c)
		}
	})
}

func TestSuite_AnExpiredTokenIsRenewedBeforeThatOfTheCorp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 50)
		s.askAll(t)
		s.provider.expireSuite()
		s.provider.took()
		if err := s.ask(t, 0); err != nil {
			t.Fatal(err)
		}
		want := []string{singlePath, corpTokenPath, suiteTokenPath, corpTokenPath, singlePath}
		if took := s.provider.took(); !slices.Equal(took, want) {
			t.Errorf("requests %v, want %v", took, want)
		}
		s.askAll(t)
		if took := s.provider.took(); count(took, suiteTokenPath) != 0 {
			t.Errorf("%d more suite tokens: want the renewed one for the other corps, too", count(took, suiteTokenPath))
		}
	})
}

func TestSuite_ACallRefusedForTheSuitesTokenRenewsThatFirst(t *testing.T) {
	t.Parallel()
	for _, code := range []int{errcodeSuiteTokenInvalid, errcodeSuiteTokenExpired} {
		synctest.Test(t, func(t *testing.T) {
			s := setupSuite(t, 20)
			s.askAll(t)
			time.Sleep(time.Minute)
			s.provider.took()
			s.provider.set(func() {
				s.provider.expired = code
				for corp := range s.provider.corpTokens {
					s.provider.corpTokens[corp]++
				}
			})
			s.askAll(t)
			took := s.provider.took()
			if a, b, c := count(took, suiteTokenPath), count(took, corpTokenPath), count(took, singlePath); a != 1 || b != 20 || c != 40 {
				t.Errorf("%d: %d suite tokens, %d corp tokens, %d calls: want 1, 20, 40", code, a, b, c)
			}
		})
	}
}

func TestSuite_TokensAreReplacedAheadOfTheirEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 3)
		for range 24 * 60 {
			s.askAll(t)
			time.Sleep(time.Minute)
		}
		took := s.provider.took()
		// Each lasts for 103 minutes at least; the suite's is looked at when a corp's is fetched, at least every 115.
		if n := count(took, suiteTokenPath); s.provider.refused != 0 || n < 7 || n > 14 {
			t.Errorf("%d requests refused, %d suite tokens in 24 h: want 0, 7 to 14", s.provider.refused, n)
		}
		if n := count(took, corpTokenPath); n < 3*13 || n > 3*14 {
			t.Errorf("%d corp tokens for 3 corps in 24 h: want 39 to 42", n)
		}
	})
}

func TestSuite_ARefusedTicketIsNotSentAgainAndTheNextOneHeals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 2)
		s.provider.ticket = "newer"
		for range 3600 {
			for i := range s.corps {
				e := mustFail(t, s.ask(t, i))
				if e.Class != schemas.Token || e.Errcode != errcodeTicketInvalid || !e.AllCorps || e.RetryAfter <= 0 || e.RetryAfter > ticketPause {
					t.Fatalf("got %v, all corps %t, pause %s: want class token, true, up to %s", e, e.AllCorps, e.RetryAfter, ticketPause)
				}
				wantNoCanary(t, e)
			}
			time.Sleep(time.Second)
		}
		if want := []string{canaryTicket}; !slices.Equal(s.provider.tickets, want) {
			t.Errorf("tickets sent in an hour: %v, want %v", s.provider.tickets, want)
		}
		writeFile(t, s.ticketFile, "newer")
		time.Sleep(ticketPause)
		s.askAll(t)
	})
}

func TestSuite_ATicketThatWasReplacedMeanwhileIsSentAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 1)
		s.provider.ticket = "newer"
		s.provider.before = func(*http.Request) { writeFile(t, s.ticketFile, "newer") }
		s.askAll(t)
		if want := []string{canaryTicket, "newer"}; !slices.Equal(s.provider.tickets, want) {
			t.Errorf("tickets sent: %v, want %v", s.provider.tickets, want)
		}
	})
}

func TestSuite_WithoutATicketNothingIsSent(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "\n", "canary of words"} {
		synctest.Test(t, func(t *testing.T) {
			s := setupSuite(t, 1)
			writeFile(t, s.ticketFile, content)
			e := mustFail(t, s.ask(t, 0))
			if e.Class != schemas.Token || !e.AllCorps || !strings.Contains(e.Message, s.ticketFile) {
				t.Errorf("%q: got %v, all corps %t: want class token, the path, true", content, e, e.AllCorps)
			}
			wantNoCanary(t, e)
			if took := s.provider.took(); len(took) != 0 {
				t.Errorf("%q: requests %v: want none", content, took)
			}
			writeFile(t, s.ticketFile, canaryTicket)
			s.askAll(t)
		})
	}
}

func TestSuite_AWrongSecretIsTriedOnceForAllCorpsAndNeverInALoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 20)
		s.provider.fail[suiteTokenPath] = 40080
		start := time.Now()
		var tries []time.Duration
		var next time.Time
		for i := 0; time.Since(start) < time.Hour; i++ {
			corp := i % s.corps // each at its own time
			e := mustFail(t, s.ask(t, corp))
			if e.Class != schemas.CorpStopped || e.Errcode != 40080 || !e.AllCorps {
				t.Fatalf("got %v, all corps %t: want corp_stopped, true", e, e.AllCorps)
			}
			for range s.provider.took() {
				tries = append(tries, time.Since(start))
				next = time.Now().Add(e.RetryAfter)
			}
			if at := time.Now().Add(e.RetryAfter); !at.Equal(next) {
				t.Fatalf("corp %d: to be tried again at %s, want %s", corp, at, next)
			}
			time.Sleep(time.Second)
		}
		m := time.Minute
		want := []time.Duration{0, 1 * m, 3 * m, 7 * m, 15 * m, 25 * m, 35 * m, 45 * m, 55 * m}
		if !slices.Equal(tries, want) {
			t.Errorf("tried at %v, want %v", tries, want)
		}
		// No corp has a pause of its own beside the suite's.
		s.provider.set(func() { delete(s.provider.fail, suiteTokenPath) })
		time.Sleep(time.Until(next))
		s.askAll(t)
	})
}

func TestSuite_ManyCallsAtOnceAllLearnOfItsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 1)
		s.provider.fail[suiteTokenPath] = 40080
		for range 20 { // more than a corp may fetch at once
			e := mustFail(t, s.ask(t, 0))
			if e.Errcode != 40080 || !e.AllCorps || e.RetryAfter != time.Minute {
				t.Fatalf("got %v, all corps %t, pause %s: want 40080, true, 1m", e, e.AllCorps, e.RetryAfter)
			}
		}
	})
}

func TestSuite_WhatIsWrongWithOneCorpStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 1)
		good := Corp{s.id(0), s.suite.Source(s.id(0), canaryCode)}
		if err := s.SetCorps([]Corp{good, {"wwbad", s.suite.Source("wwbad", "another")}}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			_, err := s.CheckSingle(t.Context(), "wwbad", onePair)
			if e := mustFail(t, err); e.Class != schemas.CorpStopped || e.Errcode != 40084 || e.AllCorps {
				t.Fatalf("got %v, all corps %t: want corp_stopped, false", e, e.AllCorps)
			}
			s.askAll(t)
			time.Sleep(time.Second)
		}
		took := s.provider.took()
		if a, b := count(took, suiteTokenPath), count(took, corpTokenPath); a != 1 || b != 2 {
			t.Errorf("%d suite tokens, %d corp tokens tried: want 1, 2", a, b)
		}
	})
}

func TestSuite_WhatFailsAtTheSuiteConcernsAllCorps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path  string
		code  int
		class schemas.Class
		all   bool
	}{
		{suiteTokenPath, 40083, schemas.CorpStopped, true},
		{suiteTokenPath, 60020, schemas.CorpStopped, true},
		{suiteTokenPath, 45009, schemas.RateLimited, true},
		{suiteTokenPath, -1, schemas.Transient, true},
		{suiteTokenPath, 12345, schemas.Token, true},
		{corpTokenPath, 60020, schemas.CorpStopped, true},
		{corpTokenPath, 40084, schemas.CorpStopped, false},
		{corpTokenPath, 45009, schemas.RateLimited, false},
		{singlePath, 301042, schemas.CorpStopped, true},
		{singlePath, 301052, schemas.CorpStopped, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := setupSuite(t, 1)
			s.provider.fail[tt.path] = tt.code
			e := mustFail(t, s.ask(t, 0))
			if e.Class != tt.class || e.Errcode != tt.code || e.AllCorps != tt.all {
				t.Errorf("%s, %d: got %v, all corps %t: want class %s, %t", tt.path, tt.code, e, e.AllCorps, tt.class, tt.all)
			}
		})
	}
}
