/* The folded first layer: y = x W^T + bias, where much of x is looked up in tables of few rows.

   Column c of x is a row of its `vectors` (rows, width), times a share where the column has shares; it stands at
   `start` in x. The products of all vectors with W are made for SOME outputs at a time: that table stays in the
   cache while its rows are added up, or its gradient's are. Of a column without shares the value that most
   rows of the batch have is added to all rows at once, and other values as what they differ by. Of
   gradients a difference would not do: it is not zero where its true value is, and Adam makes steps of such
   numbers. There, sums of some of EIGHT rows are added.
   Threads share the outputs out, and whatever is added is added in one order, so that their number
   changes no bit. Compiled twice: for layers of few outputs, such as gates, with FEW. */
#ifdef FEW
#define SOME 16
#define fold_forward fold_forward_few
#define fold_backward fold_backward_few
#endif
#include "rows.h"

#define EIGHT 8
#define FOUR 4

typedef struct {
    int64_t rows, place, start, width; /* `place`: of the column's first row in the table of all */
    int64_t table, first;              /* where the vectors are: in which table, from which row on */
    int64_t share;                     /* where its shares are among those of a row, or -1 */
} column;

typedef struct {
    int64_t batch, outputs, inputs, columns, values, rest, shared, threads; /* `values`: rows of the table of all */
    const column *of;
    const float *const *tables;
    const int64_t *rest_at;    /* (rest) entries of x that are no column's, */
    const float *rest_entries; /* and what they are (batch, rest) */
    int32_t *most;             /* (columns) the row of the table that most rows have, or -1 */
    int32_t *starts, *ids;     /* (batch + 1): where a row's other entries begin in ids, rows of the table, */
    float *shares;             /* and in shares */
    uint8_t *having;           /* (batch / EIGHT, rounded up, columns) a bit a row: whether it has what most have */
    const float *weight;       /* W (outputs, inputs) */
    float *room;               /* (threads, (inputs + values + FOUR) SOME) */
} fold;

#define EACH_COLUMN(c) for (const column *c = f->of; c < f->of + f->columns; c++)

#ifndef FEW
/* From ids (batch, columns) of each column's values and shares (batch, shared): the entries of each row, and
   what most have; 1 if an id is none of its column's. `counts` (values) are zeros. */
int fold_rows(const fold *f, const int64_t *ids, const float *shares, int32_t *counts) {
    int32_t n = 0;
    for (int64_t b = 0; b < f->batch; b++)
        for (int64_t c = 0; c < f->columns; c++) {
            int64_t id = ids[b * f->columns + c];
            if (id < 0 || id >= f->of[c].rows) return 1;
            counts[f->of[c].place + id]++;
        }
    for (int64_t c = 0; c < f->columns; c++) {
        int64_t first = f->of[c].place, best = first;
        for (int64_t v = first; v < first + f->of[c].rows; v++)
            if (counts[v] > counts[best]) best = v;
        f->most[c] = f->of[c].share < 0 ? (int32_t)best : -1;
    }
    for (int64_t b = 0; b < f->batch; b++) {
        uint8_t *having = f->having + b / EIGHT * f->columns, bit = (uint8_t)(1 << b % EIGHT);
        f->starts[b] = n;
        for (int64_t c = 0; c < f->columns; c++) {
            int32_t row = (int32_t)(f->of[c].place + ids[b * f->columns + c]);
            float share = f->of[c].share < 0 ? 1 : shares[b * f->shared + f->of[c].share];
            if (row == f->most[c]) having[c] |= bit;
            f->ids[n] = row, f->shares[n] = share;
            n += row != f->most[c] && share != 0;
        }
    }
    f->starts[f->batch] = n;
    return 0;
}
#endif

static inline const float *vectors_of(const fold *f, const column *c) {
    return f->tables[c->table] + c->first * c->width;
}

/* W^T (inputs, SOME) of some outputs from h on, filled up with zeros. */
static void turned(const fold *f, int64_t h, int64_t some, float *weight) {
    if (some < SOME) memset(weight, 0, sizeof(float) * f->inputs * SOME);
    transpose(f->weight + h * f->inputs, f->inputs, some, f->inputs, weight, SOME);
}

/* The table of some outputs, less what most rows have; the sum of that. */
static sums tabled(const fold *f, const float *weight, float *table) {
    sums all = {{{0}}};
    EACH_COLUMN(c) {
        const float *vectors = vectors_of(f, c);
        for (int64_t v = 0; v < c->rows; v++) {
            sums s = {{{0}}};
            for (int64_t k = 0; k < c->width; k++)
                s = plus(s, times(vectors[v * c->width + k], read(weight + (c->start + k) * SOME, SOME)));
            write(s, table + (c->place + v) * SOME, SOME);
        }
        if (f->most[c - f->of] < 0) continue;
        sums most = read(table + f->most[c - f->of] * SOME, SOME), less = times(-1, most);
        all = plus(all, most);
        for (float *row = table + c->place * SOME; row < table + (c->place + c->rows) * SOME; row += SOME)
            write(plus(read(row, SOME), less), row, SOME);
    }
    return all;
}

/* y (batch, outputs) = x W^T + bias, or what y holds + x W^T without a bias. */
void fold_forward(const fold *f, const float *bias, float *y, int64_t is_added, int64_t is_rectified) {
#pragma omp parallel for schedule(static) num_threads(f->threads)
    for (int64_t h = 0; h < f->outputs; h += SOME) {
        int64_t some = f->outputs - h < SOME ? f->outputs - h : SOME;
        float *weight = f->room + this_thread() * (f->inputs + f->values + FOUR) * SOME;
        float *table = weight + f->inputs * SOME;
        turned(f, h, some, weight);
        sums first = tabled(f, weight, table);
        if (bias) first = plus(first, read(bias + h, some));
        for (int64_t b = 0; b < f->batch; b++) {
            float *into = y + b * f->outputs + h;
            sums s = is_added ? plus(first, read(into, some)) : first;
            for (int64_t r = 0; r < f->rest; r++)
                s = plus(s, times(f->rest_entries[b * f->rest + r], read(weight + f->rest_at[r] * SOME, SOME)));
            for (int32_t n = f->starts[b]; n < f->starts[b + 1]; n++)
                s = plus(s, times(f->shares[n], read(table + (int64_t)f->ids[n] * SOME, SOME)));
            write(is_rectified ? rectified(s) : s, into, some);
        }
    }
}

/* Adds the sums of the EIGHT rows from b on that have what most have to that row of the table. */
static void most_of_eight(const fold *f, int64_t b, const sums *eight, float *table) {
    sums some[2][1 << EIGHT / 2];
    for (int half = 0; half < 2; half++) {
        some[half][0] = (sums){{{0}}};
        for (int i = 1; i < 1 << EIGHT / 2; i++)
            some[half][i] = plus(some[half][i & (i - 1)], eight[half * EIGHT / 2 + __builtin_ctz(i)]);
    }
    for (int64_t c = 0; c < f->columns; c++) {
        int having = f->having[b / EIGHT * f->columns + c];
        if (!having) continue;
        float *into = table + (int64_t)f->most[c] * SOME;
        write(plus(read(into, SOME), plus(some[0][having & 15], some[1][having >> 4])), into, SOME);
    }
}

/* Adds to the table's gradient and the rest's, of dy below the ReLU of y, if there is one; dy so masked -> dz;
   its sums. */
static sums collected(const fold *f, int64_t h, int64_t some, const float *y, const float *dy, float *dz, float *table,
                      float *turned) {
    sums all = {{{0}}}, eight[EIGHT];
    for (int64_t b = 0; b < f->batch; b++) {
        int64_t row = b * f->outputs + h;
        ahead(dy + row + AHEAD * f->outputs);
        if (y) ahead(y + row + AHEAD * f->outputs);
        sums s = read(dy + row, some);
        if (y) s = unrectified(s, read(y + row, some));
        if (dz) write(s, dz + row, some);
        all = plus(all, s);
        eight[b % EIGHT] = s;
        for (int64_t r = 0; r < f->rest; r++) {
            float *into = turned + f->rest_at[r] * SOME;
            write(plus(read(into, SOME), times(f->rest_entries[b * f->rest + r], s)), into, SOME);
        }
        for (int32_t n = f->starts[b]; n < f->starts[b + 1]; n++) {
            float *into = table + (int64_t)f->ids[n] * SOME;
            write(plus(read(into, SOME), times(f->shares[n], s)), into, SOME);
        }
        if (b % EIGHT == EIGHT - 1 || b == f->batch - 1) most_of_eight(f, b, eight, table);
    }
    return all;
}

/* From the table's gradient that of W. */
static void to_weights(const fold *f, int64_t h, int64_t some, const float *table, float *turned, float *dweight) {
    EACH_COLUMN(c) {
        const float *vectors = vectors_of(f, c);
        for (int64_t k = 0; k < c->width; k++) {
            sums s = {{{0}}};
            for (int64_t v = 0; v < c->rows; v++)
                s = plus(s, times(vectors[v * c->width + k], read(table + (c->place + v) * SOME, SOME)));
            float *into = turned + (c->start + k) * SOME; /* which two columns may share */
            write(plus(read(into, SOME), s), into, SOME);
        }
    }
    transpose(turned, SOME, f->inputs, some, dweight + h * f->inputs, f->inputs);
}

/* LANES columns of W from d on, at one output; where they end with W, those that there are. */
static inline floats columns_at(const fold *f, int64_t output, int64_t d) {
    const float *from = f->weight + output * f->inputs + d;
    float end[LANES] = {0};
    int64_t left = (f->outputs - output) * f->inputs - d;
    return left >= LANES ? at(from) : at(memcpy(end, from, sizeof(float) * left));
}

/* And that of the vectors, added to what there is: FOUR at a time, LANES of their entries. */
static void to_vectors(const fold *f, float *const *gradients, int64_t h, int64_t some, const float *table) {
    EACH_COLUMN(c) {
        float *gradient = gradients[c->table] ? gradients[c->table] + c->first * c->width : 0;
        for (int64_t k = 0; gradient && k < c->width; k += LANES)
            for (int64_t v = 0; v < c->rows; v += FOUR) {
                const float *row = table + (c->place + v) * SOME;
                floats s[FOUR] = {{0}};
                for (int64_t j = 0; j < some; j++) {
                    floats w = columns_at(f, h + j, c->start + k);
                    for (int i = 0; i < FOUR; i++) s[i] += row[i * SOME + j] * w;
                }
                for (int64_t i = 0; i < FOUR && v + i < c->rows; i++)
                    for (int64_t l = 0; l < LANES && k + l < c->width; l++) gradient[(v + i) * c->width + k + l] += s[i][l];
            }
    }
}

/* From dy (batch, outputs), where y are the outputs if they were rectified: dz, the gradient below the ReLU, if
   asked for; the weight's; the bias', if asked for; the tables', each added, none of where there is no
   place for it. */
void fold_backward(const fold *f, const float *y, const float *dy, float *dz, float *dweight, float *dbias,
                   float *const *gradients) {
#pragma omp parallel for ordered schedule(static, 1) num_threads(f->threads)
    for (int64_t h = 0; h < f->outputs; h += SOME) {
        int64_t some = f->outputs - h < SOME ? f->outputs - h : SOME;
        float *turned_back = f->room + this_thread() * (f->inputs + f->values + FOUR) * SOME;
        float *table = turned_back + f->inputs * SOME;
        memset(turned_back, 0, sizeof(float) * (f->inputs + f->values) * SOME);
        sums all = collected(f, h, some, y, dy, dz, table, turned_back);
        if (dbias) write(all, dbias + h, some);
        to_weights(f, h, some, table, turned_back, dweight);
#pragma omp ordered
        to_vectors(f, gradients, h, some, table);
    }
}
