package wechattest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxControlBytes bounds what is read of a control call: 50,000 statuses.
const maxControlBytes = 16 << 20

// newControl is the simulator's own API, for when it runs in a process of its own.
func newControl(s *Simulator) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simulator/stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Stats()) })
	mux.HandleFunc("DELETE /simulator/stats", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetStats()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("POST /simulator/status", control(s.controlStatus))
	mux.Handle("POST /simulator/flip", control(s.controlFlip))
	mux.Handle("POST /simulator/remember", control(s.controlRemember))
	mux.Handle("POST /simulator/faults", control(s.controlFault))
	mux.HandleFunc("DELETE /simulator/faults", s.controlClearFaults)
	mux.Handle("POST /simulator/delay", control(s.controlDelay))
	mux.Handle("POST /simulator/limits", control(s.controlLimits))
	mux.HandleFunc("DELETE /simulator/limits", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearLimits()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("POST /simulator/secrets", control(s.controlSecret))
	mux.Handle("POST /simulator/tickets", control(s.controlTicket))
	mux.Handle("POST /simulator/tokens", control(s.controlToken))
	mux.Handle("POST /simulator/tokens/expire", control(s.controlEnd(s.ExpireTokens, s.ExpireSuiteTokens)))
	mux.Handle("POST /simulator/tokens/revoke", control(s.controlEnd(s.RevokeTokens, s.RevokeSuiteTokens)))
	return mux
}

// control decodes the body, strictly, and answers with what do returns: a value as JSON, nothing, or an error. An error
// means that nothing was done.
func control[T any](do func(T) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body T
		err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxControlBytes), &body, json.RejectUnknownMembers(true))
		if err != nil {
			refuse(w, bodyError(err))
			return
		}
		answer, err := do(body)
		switch {
		case err != nil:
			refuse(w, err)
		case answer == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			reply(w, answer)
		}
	})
}

// bodyError says what is wrong with a body in JSON's terms instead of Go's.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Errorf("body: want at most %d bytes", tooLarge.Limit)
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("body: unknown field %s", semantic.JSONPointer)
	case errors.As(err, &semantic):
		return fmt.Errorf("body: %s has the wrong type or range", cmp.Or(string(semantic.JSONPointer), "the value"))
	}
	return fmt.Errorf("body: want one JSON value: %s", strings.TrimPrefix(err.Error(), "jsontext: "))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, v, json.Deterministic(true)) // the caller may be gone
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.MarshalWrite(w, map[string]string{"error": err.Error()})
}
