/* A {{ what }}, written by sterling. C99, integers only. {{ remark }}
   Each input is its value times 2 to the power of its shift, rounded down, within int32:
{% for number, shift, name in inputs %}
     x[{{ number }}]: shift {{ shift }}, {{ name | harmless }}
{% endfor %}
   The result is the number of a label:
{% for label in labels %}
     {{ loop.index0 }}: {{ label | harmless }}
{% endfor %}
*/
#include <stdint.h>

{% block tables %}{% endblock %}
static inline int sterling_predict(const int32_t *x)
{
{% block totals %}{% endblock %}
{% if labels | length == 2 %}
    return total[0] > 0;
{% else %}
    int best = 0;
    for (int r = 1; r < {{ labels | length }}; r++)
        if (total[r] > total[best])
            best = r;
    return best;
{% endif %}
}
