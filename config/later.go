package config

import "reflect"

// later are the keys whose feature does not exist yet: they are refused when they are set to other than their default,
// never ignored.
var later = map[string]string{
	"ops.listen": "metrics and health",
}

func (l *loader) refuseLater() {
	d := Default()
	defaults := fields(&d)
	for i, f := range l.fields {
		feature, ok := later[f.key]
		if ok && !reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()) {
			l.problem(f.key, "%s is not available yet: leave the key out (its default is %s)", feature, f.tag("default"))
		}
	}
}
