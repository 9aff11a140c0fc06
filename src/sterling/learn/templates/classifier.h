{% macro comment(value) %}
{{ "%r" | format(value) | replace("*/", "* /") | replace("/*", "/ *") }}
{%- endmacro %}
/* A linear classifier, written by sterling. C99, integers only.
   Rounding changes its logits by at most {{ error }}, in the range of the training data.
   Each input is its value times 2 to the power of its shift, rounded down, within int32:
{% for shift, name in inputs %}
     x[{{ loop.index0 }}]: shift {{ shift }}, {{ comment(name) }}
{% endfor %}
   The result is the number of a label:
{% for label in labels %}
     {{ loop.index0 }}: {{ comment(label) }}
{% endfor %}
*/
#include <stdint.h>

static const int64_t sterling_step[{{ steps | length }}] = { {{ steps | join(', ') }} };
static const int64_t sterling_centre[{{ steps | length }}] = { {{ centres | join(', ') }} };
static const uint8_t sterling_bits[{{ weights | length }}][{{ planes[0] | length }}] = {
{% for plane in planes %}
    { {{ plane | join(', ') }} },
{% endfor %}
};
static const int8_t sterling_sign[{{ weights | length }}] = { {{ signs | join(', ') }} };
static const uint32_t sterling_weight[{{ weights | length }}] = { {{ weights | join(', ') }} };
static const int64_t sterling_offset[{{ weights | length }}] = { {{ offsets | join(', ') }} };

static inline int sterling_predict(const int32_t *x)
{
    int64_t total[{{ weights | length }}] = {0};
    for (int j = 0; j < {{ steps | length }}; j++) {
        int64_t z = x[j] * sterling_step[j] - sterling_centre[j];
        for (int r = 0; r < {{ weights | length }}; r++) {
            int code = {{ levels[0] }};
            for (int p = 0; p < {{ levels | length - 1 }}; p++) {
                int byte = sterling_bits[r][p * {{ (steps | length + 7) // 8 }} + j / 8];
                code += {{ levels[1] - levels[0] }} * (byte >> (7 - j % 8) & 1);
            }
            total[r] += code * z;
        }
    }
    for (int r = 0; r < {{ weights | length }}; r++) {
        uint64_t sum = (uint64_t)(sterling_sign[r] * total[r] + (INT64_C(1) << 61)), weight = sterling_weight[r];
        total[r] = (int64_t)(weight * (sum >> 32) + (weight * (sum & 0xffffffff) >> 32));
        total[r] += sterling_offset[r];
    }
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
