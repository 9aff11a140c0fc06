{% extends "header.h" %}
{% block tables %}
static const int64_t sterling_step[{{ steps | length }}] = {{ steps | braced }};
static const int64_t sterling_centre[{{ steps | length }}] = {{ centres | braced }};
static const uint8_t sterling_bits[{{ weights | length }}][{{ planes[0] | length }}] = {{ planes | braced }};
static const uint32_t sterling_weight[{{ weights | length }}] = {{ weights | braced }};
static const int64_t sterling_offset[{{ weights | length }}] = {{ offsets | braced }};

{% endblock %}
{% block totals %}
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
        uint64_t sum = (uint64_t)(total[r] + (INT64_C(1) << 61)), weight = sterling_weight[r];
        total[r] = (int64_t)(weight * (sum >> 32) + (weight * (sum & 0xffffffff) >> 32));
        total[r] += sterling_offset[r];
    }
{% endblock %}
