package topics

import "slices"

// Merged is one finding about several topics.
type Merged struct {
	Finding
	Topics []string
	Keys   []string
}

// Merge puts together what was found alike of several topics, in the order in which it was found first.
func Merge(found []Finding) []Merged {
	var merged []Merged
	for _, f := range found {
		i := slices.IndexFunc(merged, func(m Merged) bool {
			return m.Setting == f.Setting && m.Wrong == f.Wrong && m.Found == f.Found && m.Why == f.Why && m.Do == f.Do
		})
		if i < 0 {
			i = len(merged)
			merged = append(merged, Merged{Finding: f})
		}
		m := &merged[i]
		m.Topics = append(m.Topics, f.Topic)
		if !slices.Contains(m.Keys, f.Key) {
			m.Keys = append(m.Keys, f.Key)
		}
	}
	return merged
}
